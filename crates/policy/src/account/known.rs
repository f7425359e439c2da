//! What is known of a request's context, and what is not.

use crate::Context;
use smol_str::SmolStr;

/// Condition keys: those whose values are known, those known to be absent, and by default all others
/// as not known.
#[derive(Debug, Clone, Default)]
pub struct Known {
    context: Context,
    /// Keys that were given outright: known whatever else is said of them.
    given: Vec<String>,
    /// Keys, or beginnings of keys that end in `/`, whose values in the context are only likely ones.
    likely: Vec<&'static str>,
    /// Keys that have one value each, of which it is known how they begin.
    beginnings: Vec<(&'static str, String)>,
    /// Keys, or beginnings of keys that end in `/`, of which there are no more than those set.
    closed: Vec<&'static str>,
    /// The session that stands for any session of its role.
    session: Option<String>,
}

impl Known {
    /// The context of a request in which nothing more is known: what is not known is absent, and what
    /// is likely holds.
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// Sets a key that holds one value.
    pub fn set(
        &mut self,
        key: impl Into<std::borrow::Cow<'static, str>>,
        value: impl Into<SmolStr>,
    ) {
        self.context.set(key, value);
    }

    /// Sets a key to what its value may be; it is not known.
    pub fn set_likely(&mut self, key: &'static str, value: impl Into<SmolStr>) {
        self.context.set(key, value);
        self.likely.push(key);
    }

    /// Sets a key of whose value only the beginning is known, and what may follow it.
    pub fn set_beginning(&mut self, key: &'static str, beginning: String, likely: &str) {
        self.set_likely(key, [&beginning, likely].concat());
        self.beginnings.push((key, beginning));
    }

    /// Says of the keys that begin so that their values are only likely.
    pub(super) fn likely(&mut self, beginning: &'static str) {
        self.likely.push(beginning);
    }

    /// Says of a key, or of all that begin with one that ends in `/`, that it is absent where it is not
    /// set.
    pub fn close(&mut self, key: &'static str) {
        self.closed.push(key);
    }

    /// Gives a key outright, whatever was thought of it before; several values are a set.
    pub fn give(&mut self, key: &str, mut values: Vec<String>) {
        match values.len() {
            1 => self.context.set(key.to_owned(), values.swap_remove(0)),
            _ => self.context.set_many(key.to_owned(), values),
        }
        self.given.push(key.to_owned());
    }

    /// Gives a key that holds a set, however many values that has.
    pub fn give_set(&mut self, key: &str, values: Vec<String>) {
        self.context.set_many(key.to_owned(), values);
        self.given.push(key.to_owned());
    }

    /// Says that this session of a role, by ARN, stands for all of them.
    pub(super) fn any_session_as(&mut self, arn: &str) {
        self.session = Some(arn.to_owned());
    }

    /// Whether nothing more could be learnt of a key.
    pub fn is_known(&self, key: &str) -> bool {
        if self.given.iter().any(|given| is_same_key(given, key)) {
            return true;
        }
        !self.likely.iter().any(|likely| covers(likely, key))
            && (self.closed.iter().any(|closed| covers(closed, key))
                || self.context.iter().any(|(known, _)| is_same_key(known, key)))
    }

    /// How the value of a key begins that is not known whole.
    pub(super) fn beginning(&self, key: &str) -> Option<&str> {
        let (_, beginning) = self.beginnings.iter().find(|(known, _)| is_same_key(known, key))?;
        Some(beginning)
    }

    /// Whether a key has a value in the context.
    pub(super) fn is_present(&self, key: &str) -> bool {
        self.context.get(key).is_some_and(|values| !values.as_slice().is_empty())
    }

    /// The session that stands for any of its role, where an ARN is of a session of that role too.
    pub(super) fn session_like(&self, arn: &str) -> Option<&str> {
        let own = self.session.as_deref()?;
        let (role, _) = own.rsplit_once('/')?;
        let other = arn.strip_prefix(role)?.strip_prefix('/')?;
        (!other.contains('/')).then_some(own)
    }
}

/// Whether two names are one key, as [`Context`] takes them: without regard to case, but for the key of
/// a tag.
fn is_same_key(one: &str, other: &str) -> bool {
    let tag = |key: &str| key.find('/').map_or(key.len(), |slash| slash + 1);
    one.eq_ignore_ascii_case(other) && one.get(tag(one)..) == other.get(tag(other)..)
}

/// Whether a name, or a beginning that ends in `/`, is of a key.
fn covers(name: &str, key: &str) -> bool {
    match key.get(..name.len()) {
        Some(start) if name.ends_with('/') => start.eq_ignore_ascii_case(name),
        _ => name.eq_ignore_ascii_case(key),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_known_where_it_is_set_given_or_closed_and_not_merely_likely() {
        let mut known = Known::default();
        known.set("aws:PrincipalAccount", "123456789012");
        known.set("aws:PrincipalTag/Team", "a");
        known.likely("aws:PrincipalTag/");
        known.set("aws:ResourceTag/Team", "a");
        known.set("x:Tag/Team", "a");
        known.close("aws:ResourceTag/");
        known.close("aws:username");
        known.set_likely("aws:userid", "AROAX:session");
        known.give("aws:principaltag/Cost", vec!["1".into()]);
        for (key, is) in [
            ("AWS:principalaccount", true),
            ("aws:PrincipalTag/Team", false),
            ("aws:PrincipalTag/Cost", true),
            ("aws:PrincipalTag/cost", false),
            ("aws:ResourceTag/team", true),
            ("aws:ResourceTag/other", true),
            // Another spelling may stand beside it.
            ("x:Tag/Team", true),
            ("x:Tag/team", false),
            ("aws:UserName", true),
            ("aws:userid", false),
            ("aws:SourceIp", false),
        ] {
            assert_eq!(known.is_known(key), is, "{key}");
        }
    }
}
