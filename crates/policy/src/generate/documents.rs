//! Statements as documents, none of them longer than a managed policy may be.

use super::statements::{Statement, number};
use serde_json::{Value, json};

/// The characters of a text that count: all but blanks.
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html>
pub fn length(text: &str) -> usize {
    text.chars().filter(|c| !c.is_whitespace()).count()
}

/// Documents that say together what the statements do, filled in their order.
pub(super) fn of(statements: Vec<Statement>, longest: usize) -> Vec<Value> {
    let empty = length(&document(&[]).to_string());
    let room = longest.saturating_sub(empty);
    // A comma and a number in the Sid may come on top.
    let cost = |statement: &Statement| length(&statement.json().to_string()) + 8;
    let mut pieces = Vec::new();
    let mut left: Vec<Statement> = statements.into_iter().rev().collect();
    while let Some(statement) = left.pop() {
        match cost(&statement) > room {
            true => match halves(&statement) {
                Some([first, second]) => left.extend([second, first]),
                None => pieces.push(statement),
            },
            false => pieces.push(statement),
        }
    }
    let mut out: Vec<Vec<Statement>> = Vec::new();
    let mut used = 0;
    for piece in pieces {
        let own = cost(&piece);
        match out.last_mut() {
            Some(last) if used + own <= room => {
                last.push(piece);
                used += own;
            }
            _ => {
                out.push(vec![piece]);
                used = own;
            }
        }
    }
    out.iter_mut().for_each(|statements| {
        unnumber(statements);
        number(statements);
    });
    out.iter().map(|statements| document(statements)).collect()
}

fn document(statements: &[Statement]) -> Value {
    let all: Vec<Value> = statements.iter().map(Statement::json).collect();
    json!({"Version": "2012-10-17", "Statement": all})
}

/// A statement as two that say the same together; `None` where there is nothing to part.
fn halves(statement: &Statement) -> Option<[Statement; 2]> {
    let [mut first, mut second] = [statement.clone(), statement.clone()];
    if statement.resources.len() > 1 {
        second.resources = first.resources.split_off(statement.resources.len() / 2);
    } else if statement.actions.len() > 1 {
        second.actions = first.actions.split_off(statement.actions.len() / 2);
    } else {
        return None;
    }
    Some([first, second])
}

/// Numbers are of the document that a statement has come to stand in.
fn unnumber(statements: &mut [Statement]) {
    for statement in statements {
        let bare = statement.sid.trim_end_matches(|c: char| c.is_ascii_digit()).len();
        statement.sid.truncate(bare);
    }
}
