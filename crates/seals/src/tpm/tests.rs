//! What needs no TPM. With one, in software: `tests/swtpm.rs`.

use super::*;

#[test]
fn a_tpm_is_a_device_or_a_socket_on_loopback() {
    for (text, words) in [
        ("", "TPM /dev/tpmrm0"),
        ("/dev/tpm1", "TPM /dev/tpm1"),
        ("/dev/tpmrm0,pcrs=7", "TPM /dev/tpmrm0"),
        ("tcp:127.0.0.1:2321", "TPM in software at 127.0.0.1:2321"),
        ("tcp:[::1]:2321,pcrs=0+7", "TPM in software at [::1]:2321"),
    ] {
        let seal = TpmSeal::parse(text).unwrap();
        assert_eq!(seal.in_words(), words);
        assert_eq!(seal.pcrs.is_some(), text.contains("pcrs"));
    }
    for text in ["dev/tpm0", "tcp:192.0.2.1:2321", "tcp:localhost:1", ",pcrs=", "/dev/tpm0,pcrs=99"]
    {
        assert!(TpmSeal::parse(text).is_none(), "{text}");
    }
}

#[test]
fn a_response_code_is_told_in_words_where_an_operator_can_do_something() {
    for (code, error) in [
        (0x99d, TpmError::RegistersChanged),
        (0x128, TpmError::RegistersChanged),
        (0x1df, TpmError::AnotherTpm),
        (0x98e, TpmError::OwnerPassword),
        (0x9a2, TpmError::OwnerPassword),
        (0x922, TpmError::Busy),
        (0x101, TpmError::Refused(0x101)),
    ] {
        assert_eq!(TpmError::of_response(code), Err(error), "{code:#x}");
    }
    assert_eq!(TpmError::of_response(0), Ok(()));
}

#[test]
fn a_tpm_that_is_not_there_is_an_error_that_names_it() {
    let seal = TpmSeal::parse("/nonexistent/tpm").unwrap();
    let place = SealedPlace { id: [1; 16] };
    let root = SecretBytes::new(vec![7; 32]);
    let error = seal.wrap(&root, &place).unwrap_err().to_string();
    assert!(error.starts_with("no TPM answers at `/nonexistent/tpm`"), "{error}");
}
