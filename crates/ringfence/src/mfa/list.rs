//! Lists of tokens as vendors send them: a line `serial,seed` each.

use super::Tokens;
use crate::cli::SeedEncoding;
use anyhow::{Context as _, anyhow};
use data_encoding::{BASE32_NOPAD, HEXLOWER_PERMISSIVE};
use ringfence_iam::TokenSeed;
use ringfence_keyring::Zeroizing;

/// Reads a list. A first line that says `serial,seed` is a heading.
pub fn tokens(text: &str, seeds: SeedEncoding) -> anyhow::Result<Vec<TokenSeed>> {
    let mut tokens = Tokens::default();
    for (at, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || (at == 0 && is_heading(line)) {
            continue;
        }
        row(line, seeds, &mut tokens).with_context(|| format!("line {}", at + 1))?;
    }
    tokens.finish()
}

/// A cell without blanks and quotation marks around it.
fn bare(cell: &str) -> &str {
    let cell = cell.trim();
    cell.strip_prefix('"').and_then(|cell| cell.strip_suffix('"')).unwrap_or(cell)
}

fn cells(line: &str) -> Option<(&str, &str)> {
    let (serial, seed) = line.split_once(',')?;
    Some((bare(serial), bare(seed)))
}

fn is_heading(line: &str) -> bool {
    cells(line).is_some_and(|(serial, seed)| {
        serial.eq_ignore_ascii_case("serial") && seed.eq_ignore_ascii_case("seed")
    })
}

fn row(line: &str, seeds: SeedEncoding, tokens: &mut Tokens) -> anyhow::Result<()> {
    let (serial, seed) = cells(line).context("expected `serial,seed`")?;
    // What cannot be decoded is a seed all the same, and is not told.
    let decoded = match seeds {
        SeedEncoding::Hex => HEXLOWER_PERMISSIVE.decode(seed.as_bytes()),
        SeedEncoding::Base32 => {
            let upper = Zeroizing::new(seed.trim_end_matches('=').to_ascii_uppercase());
            BASE32_NOPAD.decode(upper.as_bytes())
        }
    };
    let decoded = decoded.map_err(|_| match seeds {
        SeedEncoding::Hex => anyhow!("the seed is not hexadecimal; is it --seeds base32?"),
        SeedEncoding::Base32 => anyhow!("the seed is not Base32"),
    })?;
    tokens.take(serial, decoded)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "3132333435363738393031323334353637383930";
    const BASE32: &str = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";

    #[test]
    fn a_list_is_read_in_either_encoding_with_and_without_a_heading() {
        for (text, seeds) in [
            (format!("GAHT12345678,{HEX}\n"), SeedEncoding::Hex),
            (
                format!("Serial,Seed\r\n\r\nGAHT12345678,{}\r\n", HEX.to_uppercase()),
                SeedEncoding::Hex,
            ),
            (format!("\"GAHT12345678\", \"{HEX}\""), SeedEncoding::Hex),
            (format!("GAHT12345678,{BASE32}"), SeedEncoding::Base32),
            (format!("GAHT12345678,{}====", BASE32.to_lowercase()), SeedEncoding::Base32),
        ] {
            let tokens = tokens(&text, seeds).unwrap();
            assert_eq!(tokens.len(), 1, "{text}");
            assert_eq!(tokens[0].serial, "GAHT12345678");
            assert!(tokens[0].seed.matches(b"12345678901234567890"), "{text}");
        }
    }

    #[test]
    fn a_bad_line_is_named_by_its_number_and_not_repeated() {
        for (line, part) in [
            ("GAHT12345678".to_owned(), "expected `serial,seed`"),
            (format!("GAHT12345678,{BASE32}"), "not hexadecimal"),
            (format!("GAHT12345678,{}", &HEX[..30]), "16 to 64 bytes"),
            (format!("GAHT12345678,{HEX},more"), "not hexadecimal"),
            (format!("short,{HEX}"), "serial number is not"),
            (format!("arn:aws:iam::123456789012:mfa/x,{HEX}"), "serial number is not"),
            (format!("FIRST0000001,{HEX}"), "there twice"),
        ] {
            let text = format!("FIRST0000001,{HEX}\n{line}\n");
            let error = tokens(&text, SeedEncoding::Hex).unwrap_err();
            let told = format!("{error:#}");
            assert!(told.starts_with("line 2: ") && told.contains(part), "{told}");
            assert!(!told.contains(&HEX[..30]) && !told.contains(BASE32), "{told}");
        }
        assert!(tokens("serial,seed\n", SeedEncoding::Hex).is_err());
        assert!(tokens("", SeedEncoding::Hex).is_err());
    }
}
