//! Compares policies from standard input: a line of JSON with `existing` and `new` each, to a line with
//! the answer. `tests/analyse/z3_check.py` holds the answers against those of a solver.
//!
//! ```sh
//! echo '{"existing": {…}, "new": {…}}' | cargo run -q -p ringfence-policy --example compare
//! ```

use ringfence_policy::analyse::{Answer, check_no_new_access};
use ringfence_policy::{Kind, parse};
use serde_json::{Value, json};
use std::io::{BufRead, Write};

fn answer(line: &str) -> Result<Value, Box<dyn std::error::Error>> {
    let pair: Value = serde_json::from_str(line)?;
    let existing = parse(&pair["existing"].to_string(), Kind::Identity)?;
    let new = parse(&pair["new"].to_string(), Kind::Identity)?;
    Ok(match check_no_new_access(&existing, &new, Kind::Identity) {
        Answer::Proved => json!({ "answer": "proved" }),
        Answer::Counterexample(witness) => json!({
            "answer": "found",
            "action": witness.action,
            "resource": witness.resource,
            "context": witness.context.iter().map(|(key, values)| (key, values.as_slice()))
                .collect::<Vec<_>>(),
        }),
        Answer::Undecided(undecided) => {
            json!({ "answer": "undecided", "why": undecided.to_string() })
        }
    })
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut out = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        writeln!(out, "{}", answer(&line?)?)?;
    }
    Ok(())
}
