"""`ringfence policy lint`: what is found in policy files, as text, JSON and SARIF."""

import json

import pytest

from world import allow, policy

PASS_ROLE = policy(allow("iam:PassRole"))
PLAIN = policy(allow("s3:GetObject", "arn:aws:s3:::bucket/*"))
EMPTY_SID = policy({"Sid": "", **allow("s3:GetObject", "arn:aws:s3:::bucket/*")})
NO_VERSION = json.dumps({"Statement": [allow("s3:GetObject", "arn:aws:s3:::bucket/*")]})
BAD_ACTION = policy(allow("s3:GetObjekt", "arn:aws:s3:::bucket/*"))
PAGE = "https://docs.aws.amazon.com/IAM/latest/UserGuide/access-analyzer-reference-policy-checks.html"


@pytest.fixture
def lint(ringfence, tmp_path):
    """Runs `policy lint` in a folder with files: (exit code, standard output, standard error)."""

    def run(*args, stdin=None, **files):
        for name, text in files.items():
            (tmp_path / f"{name}.json").write_text(text)
        names = [f"{name}.json" for name in files]
        done = ringfence("policy", "lint", *args, *names, check=False, cwd=tmp_path, input=stdin)
        return done.returncode, done.stdout, done.stderr

    return run


def test_a_finding_is_a_line_as_compilers_print_them(lint):
    text = '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow",\n  "Action": "iam:PassRole", "Resource": "*"}]}'
    code, out, _ = lint(a=text)
    assert code == 3
    (line,) = out.splitlines()
    assert line.startswith("a.json:2:13: security-warning PASS_ROLE_WITH_STAR_IN_RESOURCE: Using the iam:PassRole")
    assert line.endswith(
        f"({PAGE}#access-analyzer-reference-policy-checks-security-warning-pass-role-with-star-in-resource)"
    )


def test_a_policy_without_findings_prints_nothing(lint):
    assert lint(a=PLAIN) == (0, "", "")


@pytest.mark.parametrize(
    "document,fails_from",
    [(BAD_ACTION, "error"), (PASS_ROLE, "security-warning"), (NO_VERSION, "warning"), (EMPTY_SID, "suggestion")],
)
def test_the_exit_code_tells_whether_something_counts(document, fails_from, lint):
    levels = ["error", "security-warning", "warning", "suggestion"]
    for at, level in enumerate(levels):
        code, out, _ = lint("--fail-on", level, a=document)
        assert out and code == (3 if at >= levels.index(fails_from) else 0), level
    assert lint("--fail-on", "never", a=document)[0] == 0
    assert lint(a=document)[0] == (3 if fails_from in levels[:2] else 0)


def test_what_is_ignored_is_neither_printed_nor_counted(lint):
    document = policy({"Sid": "", **allow("iam:PassRole")})
    code, out, _ = lint("--ignore", "pass_role_with_star_in_resource", a=document)
    assert code == 0 and "EMPTY_SID_VALUE" in out and "PASS_ROLE" not in out
    both = ("--ignore", "PASS_ROLE_WITH_STAR_IN_RESOURCE", "--ignore", "EMPTY_SID_VALUE")
    assert lint(*both, a=document) == (0, "", "")


@pytest.mark.parametrize(
    "args,members,code",
    [
        ((), {"Principal": "*"}, "UNSUPPORTED_PRINCIPAL"),
        (("--type", "resource"), {}, "MISSING_PRINCIPAL"),
        (("--type", "scp"), {"Principal": "*"}, "SCP_SYNTAX_ERROR_PRINCIPAL"),
        (("--type", "rcp"), {"Principal": {"AWS": "123456789012"}}, "RCP_SYNTAX_ERROR_PRINCIPAL"),
        (("--type", "trust"), {"Principal": "*"}, "ROLE_TRUST_POLICY_SYNTAX_ERROR_RESOURCE"),
        (("--resource-type", "AWS::S3::Bucket"), {"Action": "kms:Decrypt"}, "UNSUPPORTED_ACTION_IN_POLICY"),
        (
            ("--resource-type", "AWS::IAM::AssumeRolePolicyDocument"), {},
            "ROLE_TRUST_POLICY_SYNTAX_ERROR_RESOURCE",
        ),
    ],
)
def test_a_policy_is_judged_by_what_it_is_for(args, members, code, lint):
    document = policy({**allow("s3:GetObject", "arn:aws:s3:::bucket/*"), **members})
    _, out, _ = lint(*args, "--format", "json", a=document)
    assert code in [finding["issueCode"] for finding in json.loads(out)[0]["findings"]]


def test_json_is_the_answer_of_the_api_for_each_file(lint):
    code, out, _ = lint("--format", "json", "--fail-on", "suggestion", a=EMPTY_SID, b=PLAIN)
    assert code == 3
    first, second = json.loads(out)
    assert second == {"file": "b.json", "findings": []}
    (finding,) = first["findings"]
    assert set(finding) == {"findingDetails", "findingType", "issueCode", "learnMoreLink", "locations"}
    assert (finding["findingType"], finding["issueCode"]) == ("SUGGESTION", "EMPTY_SID_VALUE")
    (place,) = finding["locations"]
    assert place["path"] == [{"value": "Statement"}, {"index": 0}, {"value": "Sid"}]
    span = place["span"]
    assert EMPTY_SID[span["start"]["offset"]:span["end"]["offset"]] == '""'


def test_sarif_is_what_code_scanning_takes(lint):
    code, out, _ = lint("--format", "sarif", a=PASS_ROLE, b=EMPTY_SID)
    log = json.loads(out)
    assert code == 3 and log["version"] == "2.1.0" and "sarif-2.1.0" in log["$schema"]
    (run,) = log["runs"]
    driver = run["tool"]["driver"]
    assert driver["name"] == "ringfence" and driver["semanticVersion"]
    rules = driver["rules"]
    ids = [rule["id"] for rule in rules]
    assert len(ids) == len(set(ids)) > 140
    for rule in rules:
        assert rule["shortDescription"]["text"] and rule["help"]["text"]
        assert rule["helpUri"].startswith(PAGE)
        assert rule["defaultConfiguration"]["level"] in ("error", "warning", "note")
    found = {}
    for result in run["results"]:
        assert ids[result["ruleIndex"]] == result["ruleId"] and result["message"]["text"]
        assert result["level"] == rules[result["ruleIndex"]]["defaultConfiguration"]["level"]
        for place in result["locations"] + result.get("relatedLocations", []):
            physical = place["physicalLocation"]
            region = physical["region"]
            start, end = (region["startLine"], region["startColumn"]), (region["endLine"], region["endColumn"])
            assert (1, 1) <= start < end
        assert len(result["locations"]) == 1
        found[result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]] = result["ruleId"]
    assert found == {"a.json": "PASS_ROLE_WITH_STAR_IN_RESOURCE", "b.json": "EMPTY_SID_VALUE"}


def test_a_dash_reads_standard_input(lint):
    code, out, _ = lint("-", stdin=BAD_ACTION)
    assert code == 3 and out.startswith("stdin:1:")
    assert "Did you mean s3:GetObject?" in out


def test_words_of_a_policy_do_not_reach_the_terminal_as_commands(lint):
    _, out, _ = lint(a=policy(allow("s3:\x1b[31m")))
    assert "INVALID_ACTION" in out and "\x1b" not in out


@pytest.mark.parametrize(
    "args,status,said",
    [
        (("missing.json",), 1, "missing.json"),
        ((), 2, "FILES"),
        (("--ignore", "NO_SUCH", "a.json"), 2, "there is no such code"),
        (("--resource-type", "AWS::SQS::Queue", "a.json"), 2, "AWS::S3::Bucket"),
        (("--type", "scp", "--resource-type", "AWS::S3::Bucket", "a.json"), 1, "--type resource"),
    ],
)
def test_what_is_wrong_with_the_command_line_is_said(args, status, said, lint):
    code, out, err = lint(*args)
    assert (code, out) == (status, "") and said in err
