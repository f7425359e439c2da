//! Account ids and ARNs: what parses prints as it was, and nothing makes either panic.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ringfence_policy::{AccountId, Arn};

fuzz_target!(|text: &str| {
    if let Ok(account) = text.parse::<AccountId>() {
        assert_eq!(account.to_string(), text);
        assert_eq!(AccountId::new(account.number()), Some(account));
        let root = account.root_arn();
        assert_eq!(Arn::parse(&root).ok().and_then(|arn| arn.account_id()), Some(account));
    }
    match Arn::parse(text) {
        Ok(arn) => {
            let printed = arn.to_string();
            assert_eq!(printed, text);
            assert_eq!(Arn::parse(&printed), Ok(arn));
            assert!(arn.resource.ends_with(arn.resource_id()));
            if let Some(account) = arn.account_id() {
                assert_eq!(account.to_string(), arn.account);
            }
            for part in [arn.partition, arn.service, arn.region, arn.account] {
                assert!(!part.contains(':'));
            }
        }
        Err(_) => assert!(!text.starts_with("arn:") || text.matches(':').count() < 5),
    }
});
