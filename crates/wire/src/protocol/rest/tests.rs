//! Paths and query strings against patterns.

use super::{match_path, match_query};
use crate::protocol::query::Params;

#[test]
fn a_path_matches_segment_by_segment() {
    for (pattern, path, want) in [
        ("/", "/", Some(vec![])),
        ("/", "", Some(vec![])),
        ("/", "/a", None),
        ("/a/b", "/a/b", Some(vec![])),
        ("/a/b", "/a/B", None),
        ("/a/b", "/a", None),
        ("/a/{X}", "/a/1", Some(vec![("X", "1")])),
        ("/a/{X}", "/a", None),
        ("/a/{X}", "/a/1/2", None),
        ("/{X}/b/{Y}", "/1/b/2", Some(vec![("X", "1"), ("Y", "2")])),
        ("/{X}/b/{Y}", "/1/c/2", None),
        // The query string of a pattern is not part of its path.
        ("/{X}?acl", "/1", Some(vec![("X", "1")])),
    ] {
        assert_eq!(match_path(pattern, path), want, "{pattern} {path}");
    }
}

#[test]
fn one_slash_at_the_end_makes_no_segment() {
    for (pattern, path, want) in [
        ("/a/", "/a", Some(vec![])),
        ("/a", "/a/", Some(vec![])),
        ("/a", "/a//", None),
        ("/a/{X}", "/a/1/", Some(vec![("X", "1")])),
        ("/a/{X}", "/a/", None),
        ("/a/{X}", "/a//", None),
        ("/{X}", "/", None),
        ("/{X}/{Y}", "//1", None),
        ("/{X}/b", "//b", None),
    ] {
        assert_eq!(match_path(pattern, path), want, "{pattern} {path}");
    }
}

#[test]
fn a_greedy_label_takes_slashes_as_they_stand() {
    for (path, want) in [
        ("/b/k", Some("k")),
        ("/b/k/l", Some("k/l")),
        ("/b/k/", Some("k/")),
        ("/b//k", Some("/k")),
        ("/b//", Some("/")),
        ("/b/./../k", Some("./../k")),
        ("/b/", None),
        ("/b", None),
    ] {
        let want = want.map(|key| vec![("Bucket", "b"), ("Key", key)]);
        assert_eq!(match_path("/{Bucket}/{Key+}", path), want, "{path}");
    }
    for (path, want) in [
        ("/tags/a/list", Some("a")),
        ("/tags/a/b/list", Some("a/b")),
        ("/tags/list/list", Some("list")),
        ("/tags/a/", None),
        ("/tags/list", None),
        ("/tags//list", None),
    ] {
        let want = want.map(|arn| vec![("Arn", arn)]);
        assert_eq!(match_path("/tags/{Arn+}/list", path), want, "{path}");
    }
}

#[test]
fn an_encoded_slash_stays_within_its_segment() {
    for (pattern, path, want) in [
        ("/{X}", "/a%2Fb", vec![("X", "a%2Fb")]),
        ("/{X}/{Y}", "/a%2Fb/c", vec![("X", "a%2Fb"), ("Y", "c")]),
        ("/{X}", "/%2F", vec![("X", "%2F")]),
        ("/x/{Y+}", "/x/a%2Fb/c", vec![("Y", "a%2Fb/c")]),
    ] {
        assert_eq!(match_path(pattern, path), Some(want), "{pattern} {path}");
    }
    assert_eq!(match_path("/a/b", "/a%2Fb"), None);
}

#[test]
fn a_query_string_has_the_constants_of_its_pattern() {
    for (pattern, query, want) in [
        ("/b", "anything=1", true),
        ("/b?tagging", "tagging", true),
        ("/b?tagging", "tagging=", true),
        ("/b?tagging", "x=1&tagging", true),
        ("/b?tagging", "", false),
        ("/b?tagging", "Tagging", false),
        ("/b?tagging", "taggings", false),
        ("/b?tagging", "x=tagging", false),
        ("/b?list-type=2", "list-type=2", true),
        ("/b?list-type=2", "prefix=a&list-type=2", true),
        ("/b?list-type=2", "list-type=%32", true),
        ("/b?list-type=2", "list-type=1", false),
        ("/b?list-type=2", "list-type", false),
        // The first of several counts, as it does where members are read.
        ("/b?list-type=2", "list-type=1&list-type=2", false),
        ("/b?uploads&x=1", "x=1&uploads", true),
        ("/b?uploads&x=1", "uploads", false),
    ] {
        let params = Params::parse(query).unwrap();
        assert_eq!(match_query(pattern, &params), want, "{pattern} {query}");
    }
}
