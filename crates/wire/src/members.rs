//! The texts that stand at one member of an input, however deep.
//!
//! A member is named by its path from the top, names of the model with dots between them. Lists and
//! maps on the way are gone through and are no step of their own: `Rules.RoleArn` is the `RoleArn` of
//! every rule.

use crate::shape::{Kind, Member};
use crate::timestamp::Timestamp;
use crate::value::{Document, Entries, Items, Structure, Writer};

/// The texts at a member; none where it is absent.
pub fn texts(value: &dyn Structure, path: &str) -> Vec<String> {
    let mut finder = Finder { path, found: Vec::new() };
    finder.step(value);
    finder.found
}

/// A writer that keeps what stands at the end of the path.
struct Finder<'p> {
    path: &'p str,
    found: Vec<String>,
}

impl Finder<'_> {
    fn step(&mut self, value: &dyn Structure) {
        let here = self.path;
        let (name, rest) = here.split_once('.').unwrap_or((here, ""));
        let members = value.shape().as_structure().map_or(&[][..], |shape| shape.members);
        let at = members.iter().position(|member| member.name == name);
        let Some((member, field)) = at.and_then(|at| Some((members.get(at)?, value.member(at)?)))
        else {
            return;
        };
        if !field.is_absent() {
            self.path = rest;
            field.write(self, member);
            self.path = here;
        }
    }
}

impl Writer for Finder<'_> {
    fn null(&mut self, _member: &'static Member) {}

    fn structure(&mut self, _member: &'static Member, value: &dyn Structure) {
        self.step(value);
    }

    fn list(&mut self, member: &'static Member, items: &dyn Items) {
        let Kind::List(list) = &member.shape.kind else { return };
        for item in (0..items.len()).filter_map(|index| items.get(index)) {
            item.write(self, &list.element);
        }
    }

    fn map(&mut self, member: &'static Member, entries: &dyn Entries) {
        let Kind::Map(map) = &member.shape.kind else { return };
        entries.for_each(&mut |_, value| value.write(self, &map.value));
    }

    fn string(&mut self, _member: &'static Member, value: &str) {
        if self.path.is_empty() {
            self.found.push(value.to_owned());
        }
    }

    fn boolean(&mut self, _member: &'static Member, _value: bool) {}

    fn integer(&mut self, _member: &'static Member, _value: i64) {}

    fn float(&mut self, _member: &'static Member, _value: f64) {}

    fn blob(&mut self, _member: &'static Member, _value: &[u8]) {}

    fn timestamp(&mut self, _member: &'static Member, _value: Timestamp) {}

    fn document(&mut self, _member: &'static Member, _value: &Document) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shape::Shape;
    use crate::value::Map;

    static TEXT: Shape = Shape::string("Text");
    static RULE: Shape = Shape::structure("Rule", &[Member::new("RoleArn", &TEXT)]);
    static RULES: Shape = Shape::list("Rules", Member::new("member", &RULE));
    static NAMED: Shape =
        Shape::map("Named", Member::new("key", &TEXT), Member::new("value", &RULE));
    static TASK: Shape = Shape::structure(
        "Task",
        &[
            Member::new("Name", &TEXT),
            Member::new("Rule", &RULE),
            Member::new("Rules", &RULES),
            Member::new("Named", &NAMED),
        ],
    );
    crate::structure! { Rule = RULE { 0 role_arn: Option<String> } }
    crate::structure! { Task = TASK {
    0 name: Option<String>,
    1 rule: Option<Rule>,
    2 rules: Option<Vec<Rule>>,
    3 named: Option<Map<Rule>>, } }

    fn rule(arn: &str) -> Rule {
        Rule { role_arn: Some(arn.to_owned()) }
    }

    #[test]
    fn texts_are_found_through_structures_lists_and_maps() {
        let task = Task {
            name: Some("n".into()),
            rule: Some(rule("one")),
            rules: Some(vec![rule("two"), Rule { role_arn: None }, rule("three")]),
            named: Some([("k".to_owned(), rule("four"))].into_iter().collect()),
        };
        for (path, found) in [
            ("Name", &["n"][..]),
            ("Rule.RoleArn", &["one"]),
            ("Rules.RoleArn", &["two", "three"]),
            ("Named.RoleArn", &["four"]),
            // What the path does not name to its end is not there.
            ("Rule", &[]),
            ("Rules", &[]),
            ("Name.RoleArn", &[]),
            ("Missing", &[]),
            ("", &[]),
        ] {
            assert_eq!(texts(&task, path), found, "{path}");
            assert!(texts(&Task::default(), path).is_empty(), "{path}");
        }
    }
}
