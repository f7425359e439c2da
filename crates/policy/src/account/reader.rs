//! JSON read field by field, with the name of the field in every error. What is not asked for is
//! passed over; texts are borrowed where they hold no escape.

use super::export::Unreadable;
use jiter::{Jiter, JiterError, Peek};
use std::borrow::Cow;

pub(super) type Result<T> = std::result::Result<T, Unreadable>;

/// What leads to the value that is being read.
enum Step {
    Field(&'static str),
    Item(usize),
}

pub(super) struct Reader<'t> {
    text: &'t str,
    jiter: Jiter<'t>,
    path: Vec<Step>,
}

impl<'t> Reader<'t> {
    pub fn new(text: &'t str) -> Self {
        Self { text, jiter: Jiter::new(text.as_bytes()), path: Vec::new() }
    }

    /// The fields of an object that are named, each handed to `each`, which must read it.
    pub fn fields(
        &mut self,
        names: &'static [&'static str],
        mut each: impl FnMut(&mut Self, &'static str) -> Result<()>,
    ) -> Result<()> {
        if self.peek()? != Peek::Object {
            return Err(self.wrong("must be an object"));
        }
        let mut seen = Vec::with_capacity(names.len());
        let first = self.jiter.known_object().map(|key| find(names, key));
        let mut field = first.map_err(|error| self.broken(&error))?;
        while let Some(known) = field {
            match known {
                Some(name) => {
                    self.path.push(Step::Field(name));
                    if seen.contains(&name) {
                        return Err(self.wrong("stands twice"));
                    }
                    seen.push(name);
                    each(self, name)?;
                    self.path.pop();
                }
                None => self.skip()?,
            }
            let next = self.jiter.next_key().map(|key| find(names, key));
            field = next.map_err(|error| self.broken(&error))?;
        }
        Ok(())
    }

    /// The items of an array; none where it is `null`.
    pub fn list<T>(&mut self, mut each: impl FnMut(&mut Self) -> Result<T>) -> Result<Vec<T>> {
        match self.peek()? {
            Peek::Array => {}
            Peek::Null => {
                self.skip()?;
                return Ok(Vec::new());
            }
            _ => return Err(self.wrong("must be a list")),
        }
        let mut out = Vec::new();
        let first = self.jiter.known_array();
        let mut more = first.map_err(|error| self.broken(&error))?;
        while more.is_some() {
            self.path.push(Step::Item(out.len()));
            out.push(each(self)?);
            self.path.pop();
            let next = self.jiter.array_step();
            more = next.map_err(|error| self.broken(&error))?;
        }
        Ok(out)
    }

    /// A string.
    pub fn text(&mut self) -> Result<Cow<'t, str>> {
        if self.peek()? != Peek::String {
            return Err(self.wrong("must be a string"));
        }
        let start = self.jiter.current_index();
        let read = self.jiter.known_str().map(str::len);
        let length = read.map_err(|error| self.broken(&error))?;
        // Between the quotes, where no escape has made it longer than what it stands for.
        let raw = self.text.get(start + 1..self.jiter.current_index().saturating_sub(1));
        match raw.filter(|raw| raw.len() == length) {
            Some(raw) => Ok(Cow::Borrowed(raw)),
            None => self.unescaped(start),
        }
    }

    /// A string with escapes, once more: its text does not outlive the reader's next step.
    fn unescaped(&mut self, start: usize) -> Result<Cow<'t, str>> {
        let raw = self.text.get(start..self.jiter.current_index()).unwrap_or_default();
        let mut again = Jiter::new(raw.as_bytes());
        let read = again.next_str().map(|text| Cow::Owned(text.to_owned()));
        read.map_err(|error| self.broken(&error))
    }

    /// A truth value; `null` is false.
    pub fn flag(&mut self) -> Result<bool> {
        match self.peek()? {
            Peek::True => self.skip().map(|()| true),
            Peek::False | Peek::Null => self.skip().map(|()| false),
            _ => Err(self.wrong("must be true or false")),
        }
    }

    /// The text of an object as it stands, or else of a string.
    pub fn object_or_text(&mut self) -> Result<Cow<'t, str>> {
        if self.peek()? != Peek::Object {
            return if self.peek()? == Peek::String {
                self.text()
            } else {
                Err(self.wrong("must be an object, or a string that holds one"))
            };
        }
        let start = self.jiter.current_index();
        self.skip()?;
        Ok(Cow::Borrowed(self.text.get(start..self.jiter.current_index()).unwrap_or_default()))
    }

    /// Whether `null` is next; it is passed over.
    pub fn null(&mut self) -> Result<bool> {
        let null = self.peek()? == Peek::Null;
        if null {
            self.skip()?;
        }
        Ok(null)
    }

    /// Passes over a value.
    pub fn skip(&mut self) -> Result<()> {
        let skipped = self.jiter.next_skip();
        skipped.map_err(|error| self.broken(&error))
    }

    /// That nothing follows.
    pub fn end(&mut self) -> Result<()> {
        let finished = self.jiter.finish();
        finished.map_err(|error| self.broken(&error))
    }

    /// The value of a field that an object must have.
    pub fn required<T>(&mut self, name: &'static str, value: Option<T>) -> Result<T> {
        value.ok_or_else(|| {
            self.path.push(Step::Field(name));
            let missing = self.wrong("is missing");
            self.path.pop();
            missing
        })
    }

    /// An error about the field that is being read.
    pub fn wrong(&self, why: impl Into<String>) -> Unreadable {
        let mut field = String::new();
        for step in &self.path {
            match step {
                Step::Field(name) => {
                    if !field.is_empty() {
                        field.push('.');
                    }
                    field.push_str(name);
                }
                Step::Item(index) => field.push_str(&format!("[{index}]")),
            }
        }
        if field.is_empty() {
            field.push_str("the whole");
        }
        Unreadable::Field { field, why: why.into() }
    }

    fn peek(&mut self) -> Result<Peek> {
        let peeked = self.jiter.peek();
        peeked.map_err(|error| self.broken(&error))
    }

    fn broken(&self, error: &JiterError) -> Unreadable {
        let at = self.jiter.error_position(error.index);
        Unreadable::NoJson { line: at.line, column: at.column, why: error.error_type.to_string() }
    }
}

/// A key of an object, `None` at its end; inside, the name that it is of those that are known.
type Key = Option<Option<&'static str>>;

fn find(names: &'static [&'static str], key: Option<&str>) -> Key {
    key.map(|key| names.iter().copied().find(|name| *name == key))
}
