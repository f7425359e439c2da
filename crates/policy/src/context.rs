//! The facts of a request that conditions and variables look at.

use smol_str::SmolStr;
use std::borrow::Cow;

/// Condition keys with their values. Names compare without regard to case; a key may be there with
/// no value at all, which is not the same as its absence.
///
/// A request has some twenty keys: a list is searched as soon as a tree would be, and is made
/// without copying the names.
#[derive(Debug, Clone, Default)]
pub struct Context {
    keys: Vec<(Cow<'static, str>, Values)>,
    /// The [`mark`]s of the names: one that is not among them is not there.
    marks: u64,
}

/// The values of one key. Nearly all are short, or words that are known beforehand: they lie where they
/// stand, and nothing is allocated for them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Values {
    /// A key that holds one value, for example `aws:SourceIp`.
    One(SmolStr),
    /// A key that holds a set, for example `aws:TagKeys`; it may be empty.
    Many(Vec<SmolStr>),
}

impl Values {
    /// All of them.
    pub fn as_slice(&self) -> &[SmolStr] {
        match self {
            Self::One(value) => std::slice::from_ref(value),
            Self::Many(values) => values,
        }
    }
}

impl Context {
    /// Sets a key that holds one value.
    pub fn set(&mut self, key: impl Into<Cow<'static, str>>, value: impl Into<SmolStr>) {
        self.put(key.into(), Values::One(value.into()));
    }

    /// Sets a key that is not there yet.
    pub fn add(&mut self, key: &'static str, value: impl Into<SmolStr>) {
        debug_assert!(self.get(key).is_none(), "{key} is there already");
        self.marks |= mark(key);
        self.keys.push((Cow::Borrowed(key), Values::One(value.into())));
    }

    /// Sets a key that holds a set of values.
    pub fn set_many(
        &mut self,
        key: impl Into<Cow<'static, str>>,
        values: impl IntoIterator<Item = impl Into<SmolStr>>,
    ) {
        self.put(key.into(), Values::Many(values.into_iter().map(Into::into).collect()));
    }

    fn put(&mut self, key: Cow<'static, str>, values: Values) {
        let mark = mark(&key);
        if self.marks & mark != 0
            && let Some((_, known)) =
                self.keys.iter_mut().find(|(known, _)| is_same_key(known, &key))
        {
            *known = values;
            return;
        }
        self.marks |= mark;
        self.keys.push((key, values));
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there is no key.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Forgets all keys but those that were set first.
    pub fn truncate(&mut self, len: usize) {
        self.keys.truncate(len);
    }

    /// No keys yet, and room for so many.
    pub fn with_capacity(keys: usize) -> Self {
        Self { keys: Vec::with_capacity(keys), marks: 0 }
    }

    /// The values of a key; `None` where it is absent.
    ///
    /// A key that ends in a tag's, `aws:ResourceTag/Team`, may be there in several spellings. The
    /// one asked for is meant, and another only where it is the only one: a condition matches a tag
    /// key in either spelling, but not both.
    /// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html#condition-keys-resourcetag>
    pub fn get(&self, key: &str) -> Option<&Values> {
        if self.marks & mark(key) == 0 {
            return None;
        }
        let mut alike = self.keys.iter().filter(|(known, _)| known.eq_ignore_ascii_case(key));
        let (first, values) = alike.next()?;
        if is_same_key(first, key) {
            return Some(values);
        }
        let mut others = 0;
        for (known, values) in alike {
            if is_same_key(known, key) {
                return Some(values);
            }
            others += 1;
        }
        (others == 0).then_some(values)
    }

    /// Every key as it was set, with its values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Values)> {
        self.keys.iter().map(|(key, values)| (&**key, values))
    }
}

/// One bit of 64 by a name's length and last letter, the same in whatever case: most names of a request differ
/// in it.
#[inline]
fn mark(key: &str) -> u64 {
    let last = key.as_bytes().last().map_or(0, |byte| byte | 0x20);
    1 << ((key.len() + usize::from(last) * 11) % 64)
}

/// Whether two names are one key: without regard to case, but for the key of a tag.
fn is_same_key(one: &str, other: &str) -> bool {
    if one == other {
        return true;
    }
    let tag = |key: &str| key.find('/').map_or(key.len(), |slash| slash + 1);
    one.eq_ignore_ascii_case(other) && one[tag(one)..] == other[tag(other)..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_in_two_spellings_is_read_in_the_one_asked_for_or_not_at_all() {
        let mut context = Context::default();
        context.set("aws:ResourceTag/Team", "admin");
        let value = |context: &Context, key: &str| context.get(key).map(|v| v.as_slice().concat());
        assert_eq!(value(&context, "AWS:resourcetag/team").as_deref(), Some("admin"));
        context.set("aws:ResourceTag/team", "dev");
        assert_eq!(value(&context, "aws:ResourceTag/Team").as_deref(), Some("admin"));
        assert_eq!(value(&context, "aws:resourceTag/team").as_deref(), Some("dev"));
        assert_eq!(value(&context, "aws:ResourceTag/TEAM"), None);
        assert_eq!(value(&context, "aws:resourcetag/teams"), None);
        context.set("AWS:username", "ann");
        context.set("aws:UserName", "bob");
        assert_eq!(value(&context, "aws:username").as_deref(), Some("bob"));
        assert_eq!(context.len(), 3);
    }

    #[test]
    fn names_that_differ_by_case_alone_have_one_mark() {
        for name in ["aws:SourceIp", "aws:RequestTag/Ä", "", "x", "kms:EncryptionContext:@["] {
            for other in [name.to_ascii_lowercase(), name.to_ascii_uppercase()] {
                assert_eq!(mark(name), mark(&other), "{name}");
            }
        }
    }
}
