//! Which statements an answer comes from.

use super::budget::{Budget, WORK};
use super::principal::Caller;
use super::question::Question;
use super::{Answer, Side, Undecided};
use crate::document::{Document, Effect, Version};
use crate::evaluate::{self, Request};
use crate::parse::Kind;

/// The statements that apply to a request, by their places.
pub fn applying(document: &Document, request: &Request<'_>) -> Vec<usize> {
    let statements = document.statements.iter().enumerate();
    let applying = statements.filter(|(_, s)| evaluate::matches(request, document, s).is_some());
    applying.map(|(at, _)| at).collect()
}

/// [`check_no_new_access`](super::check_no_new_access) of each allowing statement of the new document by
/// itself, under all of its denials: those that allow what the existing document does not, and those of
/// which it is not known. All of them together take no more work than one check.
pub fn new_access_by_statement(
    existing: &Document,
    new: &Document,
    kind: Kind,
) -> Vec<(usize, Answer)> {
    let budget = Budget::new(WORK);
    let allowing = new.statements.iter().enumerate().filter(|(_, s)| s.effect == Effect::Allow);
    let answers = allowing.map(|(statement, _)| {
        // Parting the document is work, too; nothing more is found once it is spent.
        if budget.take(64 * new.statements.len()).is_err() {
            let undecided = Undecided {
                document: Side::New,
                statement: Some(statement),
                construct: "Statement".to_owned(),
                why: "the limit on work was reached".to_owned(),
            };
            return (statement, Answer::Undecided(undecided));
        }
        // The places of the statements that are left, so that an answer names them as they are known.
        let kept = |(at, s): &(usize, &crate::document::Statement)| {
            *at == statement || s.effect == Effect::Deny
        };
        let (places, statements): (Vec<usize>, Vec<_>) =
            new.statements.iter().enumerate().filter(kept).map(|(at, s)| (at, s.clone())).unzip();
        let part = Document::new(new.version, None, statements);
        let question = Question {
            kind,
            allows: &part,
            unless: Some(existing),
            within: Document::new(Version::V2008, None, Vec::new()),
            accounts: &[],
            who: &|_: &Caller| true,
            sides: [Side::New, Side::Existing],
        };
        let mut answer = question.answer_within(&budget);
        if let Answer::Undecided(undecided) = &mut answer
            && undecided.document == Side::New
        {
            undecided.statement = undecided.statement.and_then(|at| places.get(at).copied());
        }
        (statement, answer)
    });
    answers.filter(|(_, answer)| !answer.is_proved()).collect()
}
