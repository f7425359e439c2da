//! What the protocol cases need: tables built from the model that a case carries, values driven by
//! those tables, a small client that reads answers, and a comparison of answers as written.

pub mod answer;
pub mod client;
pub mod dynamic;
pub mod model;

use serde_json::Value as Json;

/// Whether two values are the same in the notation of the cases: numbers by value, a null as an
/// absent entry.
pub fn same(a: &Json, b: &Json) -> bool {
    match (a, b) {
        (Json::Number(a), Json::Number(b)) => match (a.as_i64(), b.as_i64()) {
            (Some(a), Some(b)) => a == b,
            _ => a.as_f64() == b.as_f64(),
        },
        (Json::Array(a), Json::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
        }
        (Json::Object(a), Json::Object(b)) => {
            let entry = |map: &serde_json::Map<String, Json>, key: &str| {
                map.get(key).filter(|value| !value.is_null()).cloned()
            };
            a.keys().chain(b.keys()).all(|key| match (entry(a, key), entry(b, key)) {
                (Some(a), Some(b)) => same(&a, &b),
                (a, b) => a.is_none() && b.is_none(),
            })
        }
        (a, b) => a == b,
    }
}
