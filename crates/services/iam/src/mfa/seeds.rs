//! A virtual device's seed as its owner gets it, once: in Base32 for typing, and as an image for a
//! phone's camera.

use crate::errors;
use data_encoding::BASE32;
use qrcode::{Color, EcLevel, QrCode};
use ringfence_keyring::{KeyringError, Random, SecretBytes, SecretString, Zeroizing};
use ringfence_wire::ServiceError;

/// Bytes of a seed: 64 characters of Base32, as AWS gives out.
pub(crate) const SEED: usize = 40;
/// Pixels of a module's side.
const SCALE: usize = 6;
/// Modules of white around the code, ISO/IEC 18004 section 6.3.8.
const QUIET: usize = 4;

/// Draws a seed.
///
/// # Errors
/// When the system has no random bytes.
pub(crate) fn draw(random: &dyn Random) -> Result<SecretBytes, KeyringError> {
    let mut bytes = vec![0; SEED];
    random.fill(&mut bytes)?;
    Ok(SecretBytes::new(bytes))
}

/// A seed in Base32.
pub(crate) fn base32(seed: &SecretBytes) -> SecretString {
    SecretString::new(BASE32.encode(seed.expose()))
}

/// The image, PNG, of the address by which phones take a seed in. Which address, says the `QRCodePNG`
/// of <https://docs.aws.amazon.com/IAM/latest/APIReference/API_VirtualMFADevice.html>.
///
/// # Errors
/// `ServiceFailure` where it cannot be drawn.
pub(crate) fn image(
    device: &str,
    account: &str,
    base32: &SecretString,
) -> Result<Vec<u8>, ServiceError> {
    let uri =
        Zeroizing::new(format!("otpauth://totp/{device}@{account}?secret={}", base32.expose()));
    let code =
        QrCode::with_error_correction_level(uri.as_bytes(), EcLevel::M).map_err(errors::failed)?;
    png_of(&code).map_err(errors::failed)
}

fn png_of(code: &QrCode) -> Result<Vec<u8>, png::EncodingError> {
    let modules = code.width();
    let side = (modules + 2 * QUIET) * SCALE;
    // One bit a pixel, a set one white.
    let mut pixels = Zeroizing::new(Vec::with_capacity(side * side.div_ceil(8)));
    for y in 0..side {
        let mut row = vec![0xff_u8; side.div_ceil(8)];
        for x in 0..side {
            let module = |at: usize| (at / SCALE).checked_sub(QUIET).filter(|at| *at < modules);
            if let (Some(column), Some(line)) = (module(x), module(y))
                && code[(column, line)] == Color::Dark
            {
                row[x / 8] &= !(0x80 >> (x % 8));
            }
        }
        pixels.extend_from_slice(&row);
    }
    let mut image = Vec::new();
    // A code's side is at most 177 modules.
    let side = side as u32;
    let mut encoder = png::Encoder::new(&mut image, side, side);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_depth(png::BitDepth::One);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(&pixels)?;
    writer.finish()?;
    Ok(image)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringfence_keyring::random::SeededRandom;

    #[test]
    fn a_seed_is_64_characters_of_base32() {
        let text = base32(&draw(&SeededRandom::new(1)).unwrap());
        assert_eq!(text.len(), 64);
        assert!(
            text.expose().bytes().all(|b| b.is_ascii_uppercase() || (b'2'..=b'7').contains(&b))
        );
        assert!(!text.matches(base32(&draw(&SeededRandom::new(2)).unwrap()).expose().as_bytes()));
    }

    #[test]
    fn the_image_shows_the_code_with_white_around_it() {
        let code = QrCode::with_error_correction_level(b"otpauth", EcLevel::M).unwrap();
        let image = png_of(&code).unwrap();
        let mut reader = png::Decoder::new(std::io::Cursor::new(&image)).read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut pixels).unwrap();
        let side = (code.width() + 2 * QUIET) * SCALE;
        assert_eq!((info.width as usize, info.height as usize), (side, side));
        let dark = |x: usize, y: usize| pixels[y * info.line_size + x / 8] & (0x80 >> (x % 8)) == 0;
        for y in 0..side {
            for x in 0..side {
                let inside = |at: usize| (QUIET * SCALE..side - QUIET * SCALE).contains(&at);
                let expected = inside(x)
                    && inside(y)
                    && code[(x / SCALE - QUIET, y / SCALE - QUIET)] == Color::Dark;
                assert_eq!(dark(x, y), expected, "{x}, {y}");
            }
        }
    }

    #[test]
    fn the_image_is_of_the_address_that_phones_take_in() {
        let uri = b"otpauth://totp/ann@123456789012?secret=ABCD2345";
        let code = QrCode::with_error_correction_level(uri, EcLevel::M).unwrap();
        let drawn = image("ann", "123456789012", &SecretString::new("ABCD2345".into())).unwrap();
        assert_eq!(drawn, png_of(&code).unwrap());
    }

    #[test]
    fn the_longest_name_still_has_an_image() {
        let seed = base32(&draw(&SeededRandom::new(1)).unwrap());
        assert!(image(&"n".repeat(226), "123456789012", &seed).is_ok());
    }
}
