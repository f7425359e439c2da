//! Records in, what is found by them, and out again.

use super::*;
use crate::linked_roles::deletion::Stage;
use crate::mfa::Enabled;
use crate::records::{Held, Permissions, Proofs};
use crate::testing::{
    ID, delegation_request, group, holding, key, login, mfa_device, oidc_provider, policy, proofs,
    role, saml_provider, security_key, server_certificate, settings, unique, user,
};

const POLICY: &str = "arn:aws:iam::123456789012:policy/p";

fn permissions(attached: &[&str], boundary: Option<&str>) -> Permissions {
    Permissions::from(Held {
        inline: Box::default(),
        attached: attached.iter().map(|arn| Arc::from(*arn)).collect(),
        boundary: boundary.map(Arc::from),
    })
}

#[test]
fn names_are_found_whatever_their_case() {
    let mut account = Account::default();
    account.put(User::record(Arc::new(user("Ann", "/", "AIDA1"))));
    assert_eq!(&*User::get(&account, "ANN").unwrap().name, "Ann");
    assert!(User::find(&account, "an").is_none());
    assert_eq!(Account::key(&User::record(Arc::new(user("Ann", "/", "AIDA1")))), "iam/user/ann");
}

#[test]
fn uses_of_a_policy_follow_attachments_and_boundaries() {
    let mut account = Account::default();
    let bound =
        User { permissions: permissions(&[POLICY], Some(POLICY)), ..user("a", "/", "AIDA1") };
    account.put(User::record(Arc::new(bound)));
    account.put(Group::record(Arc::new(Group {
        permissions: permissions(&[POLICY], None),
        ..group("g", "AGPA1")
    })));
    account.put(Role::record(Arc::new(Role {
        permissions: permissions(&[POLICY], None),
        ..role("r", "/", "AROA1")
    })));
    let uses = account.uses(POLICY).unwrap();
    assert_eq!((uses.attachments(), uses.boundaries()), (3, 1));

    let loose = User { permissions: permissions(&[], Some(POLICY)), ..user("a", "/", "AIDA1") };
    account.put(User::record(Arc::new(loose)));
    account.delete("iam/role/r");
    let uses = account.uses(POLICY).unwrap();
    assert_eq!((uses.attachments(), uses.boundaries()), (1, 1));

    account.delete("iam/user/a");
    account.delete("iam/group/g");
    assert!(account.uses(POLICY).is_none());
}

#[test]
fn what_many_hold_is_kept_once_and_until_the_last_lets_go() {
    let mut account = Account::default();
    let names = ["a", "b", "c"];
    for (name, id) in names.iter().zip(["AIDA1", "AIDA2", "AIDA3"]) {
        let held = permissions(&[POLICY], Some(POLICY));
        account.put(User::record(Arc::new(User { permissions: held, ..user(name, "/", id) })));
    }
    let of = |account: &Account, name: &str| User::get(account, name).unwrap().permissions.clone();
    let address = |account: &Account, name: &str| std::ptr::from_ref(&*of(account, name));
    assert_eq!(address(&account, "a"), address(&account, "c"));
    assert_eq!(account.held.values().copied().collect::<Vec<_>>(), [3]);

    // Who changes what it holds has its own from then on.
    let mut changed = user("b", "/", "AIDA2");
    changed.permissions = of(&account, "b");
    changed.permissions.boundary = None;
    account.put(User::record(Arc::new(changed)));
    assert!(of(&account, "b").boundary.is_none() && of(&account, "a").boundary.is_some());
    assert_eq!(account.held.values().copied().collect::<Vec<_>>(), [1, 2]);
    for name in names {
        account.delete(&format!("iam/user/{name}"));
    }
    assert!(account.held.is_empty());
}

#[test]
fn members_and_keys_follow_a_rename_of_user_and_group() {
    let mut account = Account::default();
    account.put(Group::record(Arc::new(group("g", "AGPA1"))));
    let ann = User {
        groups: [unique("AGPA1")].into(),
        credentials: holding([key(1)]),
        ..user("ann", "/", "AIDA1")
    };
    account.put(User::record(Arc::new(ann.clone())));
    account.delete("iam/user/ann");
    account.put(User::record(Arc::new(User { name: "eve".into(), ..ann })));
    account.delete("iam/group/g");
    account.put(Group::record(Arc::new(group("h", "AGPA1"))));

    let members: Vec<&str> = account.members("AGPA1").unwrap().iter().map(|m| &**m).collect();
    assert_eq!(members, ["eve"]);
    assert_eq!(&*account.group("AGPA1").unwrap().name, "h");
    let owner = account.key_owner(&key(1).id).unwrap().unwrap();
    assert_eq!(&*owner.name, "eve");
}

#[test]
fn a_key_that_is_removed_is_nobodys() {
    let mut account = Account::default();
    let root = Root { name: "a".into(), created: 0, credentials: holding([key(1), key(2)]) };
    account.put(Record::Account(Arc::new(root.clone())));
    assert!(matches!(account.key_owner(&key(1).id), Some(None)));
    account.put(Record::Account(Arc::new(Root { credentials: holding([key(2)]), ..root })));
    assert!(account.key_owner(&key(1).id).is_none());
    assert!(account.key_owner(&key(2).id).is_some());
}

#[test]
fn whose_an_mfa_device_is_follows_a_rename_and_ends_with_it() {
    let mut account = Account::default();
    let serial = "GAHT12345678";
    let enabled: Box<[Enabled]> = [Enabled { serial: serial.into(), at: 1 }].into();
    let mut ann = user("ann", "/", "AIDA1");
    ann.credentials.mfa = enabled.clone();
    account.put(User::record(Arc::new(ann.clone())));
    account.delete("iam/user/ann");
    assert!(account.mfa_owner(serial).is_none());
    account.put(User::record(Arc::new(User { name: "eve".into(), ..ann.clone() })));
    assert_eq!(&*account.mfa_owner(serial).unwrap().unwrap().name, "eve");
    ann.credentials.mfa = Box::default();
    account.put(User::record(Arc::new(User { name: "eve".into(), ..ann })));
    assert!(account.mfa_owner(serial).is_none() && account.mfa_in_use() == 0);

    let credentials = Proofs { mfa: enabled, ..Proofs::default() }.into();
    let root = Root { name: "a".into(), created: 0, credentials };
    account.put(Record::Account(Arc::new(root)));
    assert!(matches!(account.mfa_owner(serial), Some(None)));
}

#[test]
fn a_security_key_is_found_by_what_it_calls_its_key_pair_while_it_is_there() {
    let mut account = Account::default();
    let key = security_key("ann", b"id");
    let record = Record::SecurityKey(Arc::new(key.clone()));
    account.put(record.clone());
    account.put(Record::SecurityKey(Arc::new(SecurityKey { counter: 7, ..key })));
    assert_eq!(account.security_key(b"id").unwrap().counter, 7);
    assert!(account.security_key(b"i").is_none());
    account.delete(&Account::key(&record));
    assert!(account.security_key(b"id").is_none() && account.security_keys.is_empty());
}

#[test]
fn a_roles_instance_profiles_are_known() {
    let mut account = Account::default();
    let profile = |role: Option<&str>| Profile {
        name: "web".into(),
        path: "/".into(),
        id: unique("AIPA1"),
        created: 0,
        role: role.map(Arc::from),
        tags: Arc::default(),
    };
    account.put(Profile::record(Arc::new(profile(Some("r")))));
    assert_eq!(account.profiles_of("r").unwrap().len(), 1);
    account.put(Profile::record(Arc::new(profile(None))));
    assert!(account.profiles_of("r").is_none());
}

#[test]
fn every_record_reads_back_what_it_wrote() {
    let mut tagged = user("Ann", "/dev/", "AIDA1");
    tagged.tags = Arc::new([("k".to_owned(), "v".to_owned())].into());
    tagged.credentials = holding([key(1)]);
    tagged.credentials.login = Some(Arc::new(login()));
    tagged.credentials.mfa = [Enabled { serial: "GAHT12345678".into(), at: 1 }].into();
    tagged.permissions = permissions(&[POLICY], Some(POLICY));
    let used = Used {
        id: "AROA1".into(),
        role: Some("r".into()),
        at: 1,
        service: "s".into(),
        region: "r".into(),
    };
    for record in [
        User::record(Arc::new(tagged)),
        Group::record(Arc::new(group("g", "AGPA1"))),
        Role::record(Arc::new(role("r", "/", "AROA1"))),
        Policy::record(Arc::new(policy("p"))),
        Record::Account(Arc::new(Root {
            name: "a".into(),
            created: 0,
            credentials: holding([key(1)]),
        })),
        Record::Settings(Arc::new(settings())),
        Record::MfaDevice(Arc::new(mfa_device("Ann"))),
        Record::MfaToken(Arc::new(Token {
            serial: "GAHT12345678".into(),
            imported: 1,
            totp: mfa_device("t").totp,
        })),
        Record::SecurityKey(Arc::new(security_key("ann", b"id"))),
        Record::Used(Arc::new(used)),
        User::record(Arc::new(User { credentials: proofs(), ..user("eve", "/", "AIDA2") })),
        Record::Account(Arc::new(Root { name: "a".into(), created: 0, credentials: proofs() })),
        Record::ServerCertificate(Arc::new(server_certificate("c"))),
        Record::OidcProvider(Arc::new(oidc_provider("a.example.com/B"))),
        Record::SamlProvider(Arc::new(saml_provider("Idp"))),
        Record::RoleDeletion(Arc::new(RoleDeletion {
            stage: Stage::Failed { at: 2, reason: "r".into(), usage: Vec::new() },
            ..RoleDeletion::new("id".into(), "s", &role("r", "/", "AROA1"), 1)
        })),
        Record::DelegationRequest(Arc::new(delegation_request("0-0-0-0-123456789012", ID))),
        Record::TokenIssuer(Arc::new(TokenIssuer::new("id".into(), &[], 1))),
    ] {
        let bytes = rmp_serde::to_vec_named(&record).unwrap();
        let read: Record = rmp_serde::from_slice(&bytes).unwrap();
        assert_eq!(rmp_serde::to_vec_named(&read).unwrap(), bytes);
        assert_eq!(Account::key(&read), Account::key(&record));
    }
}

#[test]
fn a_record_of_before_there_were_other_proofs_reads() {
    #[derive(serde::Serialize)]
    struct Old<'a> {
        name: &'a str,
        path: &'a str,
        id: &'a str,
        created: i64,
        keys: [crate::records::AccessKey; 1],
    }
    #[derive(serde::Serialize)]
    enum OldRecord<'a> {
        User(Old<'a>),
    }
    let old = Old { name: "ann", path: "/", id: "AIDA1", created: 1, keys: [key(1)] };
    let bytes = rmp_serde::to_vec_named(&OldRecord::User(old)).unwrap();
    let Ok(Record::User(user)) = rmp_serde::from_slice(&bytes) else { panic!("no user") };
    assert_eq!(user.credentials.keys.len(), 1);
    assert!(user.credentials.ssh_keys.is_empty());
}

#[test]
fn what_proves_a_user_is_found_while_it_is_there() {
    let mut account = Account::default();
    let ann = User { credentials: proofs(), ..user("Ann", "/", "AIDA1") };
    account.put(User::record(Arc::new(ann.clone())));
    let (service, name) = ("bedrock.amazonaws.com", "ann-at-123456789012");
    let owner = |account: &Account| {
        account.service_credential_owner(service, name).map(|user| user.name.to_string())
    };
    assert_eq!(owner(&account).as_deref(), Some("Ann"));
    assert!(account.service_credential_owner("logs.amazonaws.com", name).is_none());
    assert!(account.has_signing_certificate("aa"));
    let ssh_key = ann.credentials.ssh_keys[0].id;
    assert_eq!(&*account.ssh_key_owner(&ssh_key).unwrap().name, "Ann");

    account.delete("iam/user/ann");
    account.put(User::record(Arc::new(User { name: "eve".into(), ..ann })));
    assert_eq!(owner(&account).as_deref(), Some("eve"));
    account.put(User::record(Arc::new(user("eve", "/", "AIDA1"))));
    assert!(owner(&account).is_none() && !account.has_signing_certificate("aa"));
    assert!(account.ssh_key_owner(&ssh_key).is_none());

    let root = Root { name: "a".into(), created: 0, credentials: proofs() };
    account.put(Record::Account(Arc::new(root)));
    assert!(account.has_signing_certificate("aa"));
    account.put(Record::ServerCertificate(Arc::new(server_certificate("Web"))));
    assert!(ServerCertificate::find(&account, "WEB").is_some());
    account.delete("iam/server-certificate/web");
    assert!(ServerCertificate::find(&account, "web").is_none());
}

#[test]
fn no_secret_is_in_the_debug_of_a_record() {
    let shown = format!("{:?} {:?}", server_certificate("c"), proofs());
    assert!(!shown.contains("the private key") && !shown.contains("a proof"));
    assert!(!shown.contains(&format!("{:?}", b"a proof")));
    let user = User { credentials: holding([key(1)]), ..user("ann", "/", "AIDA1") };
    let secret = user.credentials.keys[0].secret.expose().to_owned();
    assert!(!format!("{:?}", User::record(Arc::new(user))).contains(&secret));
}

#[test]
fn providers_are_found_by_url_in_its_own_case_and_by_name_in_any() {
    let mut account = Account::default();
    account.put(Record::OidcProvider(Arc::new(oidc_provider("a.example.com/B"))));
    account.put(Record::SamlProvider(Arc::new(saml_provider("Idp"))));
    assert!(OidcProvider::find(&account, "a.example.com/B").is_some());
    assert!(OidcProvider::find(&account, "a.example.com/b").is_none());
    assert!(SamlProvider::find(&account, "IDP").is_some());
    account.delete("iam/oidc-provider/a.example.com/B");
    account.delete("iam/saml-provider/idp");
    assert!(account.oidc_providers.is_empty() && account.saml_providers.is_empty());
}

#[test]
fn no_private_key_is_in_the_debug_of_a_provider() {
    let provider = saml_provider("Idp");
    let key = provider.private_keys[0].key.expose().to_owned();
    assert!(!format!("{:?}", Record::SamlProvider(Arc::new(provider))).contains(&key));
}

#[test]
fn an_arn_follows_path_and_name() {
    assert_eq!(user("Ann", "/dev/", "AIDA1").arn(ID), "arn:aws:iam::123456789012:user/dev/Ann");
    assert_eq!(role("r", "/", "AROA1").arn(ID), "arn:aws:iam::123456789012:role/r");
}

#[test]
fn a_user_takes_little_room() {
    // Of 100,000 users without keys and policies, loaded in order, each took 277 bytes.
    assert!(size_of::<User>() <= 112, "{}", size_of::<User>());
}
