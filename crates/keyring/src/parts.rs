//! Several byte strings as one, so that no two different lists give the same bytes.

/// Each part behind its length (64 bits, big-endian): `["ab", "c"]` differs from `["a", "bc"]`,
/// and from any list of another length.
pub(crate) fn joined(parts: &[&[u8]]) -> Vec<u8> {
    let len = parts.iter().map(|part| 8 + part.len()).sum();
    let mut out = Vec::with_capacity(len);
    for part in parts {
        out.extend_from_slice(&(part.len() as u64).to_be_bytes());
        out.extend_from_slice(part);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn different_lists_give_different_bytes() {
        let lists: [&[&[u8]]; 8] = [
            &[],
            &[b""],
            &[b"", b""],
            &[b"abc"],
            &[b"ab", b"c"],
            &[b"a", b"bc"],
            &[b"abc", b""],
            &[b"", b"abc"],
        ];
        for (i, a) in lists.iter().enumerate() {
            for (j, b) in lists.iter().enumerate() {
                assert_eq!(joined(a) == joined(b), i == j, "{a:?} {b:?}");
            }
        }
    }
}
