//! What the server's operator says of the clusters and endpoints that stores name.

use ringfence_policy::AccountId;
use std::path::PathBuf;
use std::time::Duration;

/// How long AWS's KMS waits for an external key store proxy.
/// <https://github.com/aws/aws-kms-xksproxy-api-spec/blob/main/xks_proxy_api_spec.md#getkeymetadata>
const PATIENCE: Duration = Duration::from_millis(250);

/// What backs the custom key stores of a server.
#[derive(Debug, Clone)]
pub struct Backends {
    /// The clusters that there are.
    pub hsms: Vec<Hsm>,
    /// Where endpoints are reached by another URL than their own.
    pub endpoints: Vec<Endpoint>,
    /// How long a proxy's answer may take.
    pub xks_patience: Duration,
    /// Whose the clusters and endpoints are that name no account.
    pub owner: Option<AccountId>,
}

impl Default for Backends {
    fn default() -> Self {
        Self { hsms: Vec::new(), endpoints: Vec::new(), xks_patience: PATIENCE, owner: None }
    }
}

impl Backends {
    /// The cluster of an id, where it is this account's.
    pub(super) fn hsm(&self, account: AccountId, cluster: &str) -> Option<&Hsm> {
        let hsm = self.hsms.iter().find(|hsm| hsm.cluster == cluster)?;
        (hsm.account.or(self.owner) == Some(account)).then_some(hsm)
    }

    /// Where an account's endpoint is reached.
    pub(super) fn reached<'e>(&'e self, account: AccountId, endpoint: &'e str) -> &'e str {
        let is = |known: &&Endpoint| {
            known.endpoint == endpoint && known.account.or(self.owner) == Some(account)
        };
        self.endpoints.iter().find(is).map_or(endpoint, |known| &known.url)
    }
}

/// A cluster of hardware security modules: a token of a PKCS#11 module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hsm {
    /// `cluster-…`, as CloudHSM writes it.
    pub cluster: String,
    /// The module's library.
    pub module: PathBuf,
    /// The token's label.
    pub token: String,
    /// Stands before the password in the PIN, behind it a colon, where the module knows users:
    /// CloudHSM's own does.
    pub user: Option<String>,
    /// The file of the certificate that the cluster's owner signed it with.
    pub anchor: Option<PathBuf>,
    /// Whose it is.
    pub account: Option<AccountId>,
}

impl Hsm {
    /// Reads `cluster-ID=module:PATH,token:LABEL`, with `user:NAME`, `anchor:FILE` and `account:ID`
    /// where need be.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (cluster, rest) = text.split_once('=').ok_or(
            "expected cluster-ID=module:PATH,token:LABEL[,user:NAME][,anchor:FILE][,account:ID]",
        )?;
        let id = cluster.strip_prefix("cluster-").unwrap_or_default();
        let known = |b: u8| b.is_ascii_alphabetic() || (b'2'..=b'7').contains(&b);
        if !(11..=16).contains(&id.len()) || !id.bytes().all(known) {
            return Err(
                "a cluster's id is cluster- and 11 to 16 letters or digits from 2 to 7".into()
            );
        }
        let (mut module, mut token, mut user, mut anchor, mut account) =
            (None, None, None, None, None);
        for part in rest.split(',') {
            let (name, value) = part.split_once(':').unwrap_or((part, ""));
            if value.is_empty() {
                return Err(format!("`{name}` has no value"));
            }
            let given = match name {
                "module" => module.replace(PathBuf::from(value)).is_some(),
                "token" => token.replace(value.to_owned()).is_some(),
                "user" => user.replace(value.to_owned()).is_some(),
                "anchor" => anchor.replace(PathBuf::from(value)).is_some(),
                "account" => {
                    let id = value.parse().map_err(|_| format!("`{value}` is no account id"))?;
                    account.replace(id).is_some()
                }
                _ => return Err(format!("`{name}` is not known of a cluster")),
            };
            if given {
                return Err(format!("`{name}` is given twice"));
            }
        }
        Ok(Self {
            cluster: cluster.to_owned(),
            module: module.ok_or("the module is missing: module:PATH")?,
            token: token.ok_or("the token is missing: token:LABEL")?,
            user,
            anchor,
            account,
        })
    }
}

/// An endpoint of external key store proxies, and where it is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// `https://NAME`, as stores name it.
    pub endpoint: String,
    /// `https://HOST[:PORT]`, or `http://` and an address of this machine.
    pub url: String,
    /// Whose it is: to others it is a name as any other.
    pub account: Option<AccountId>,
}

impl Endpoint {
    /// Reads `https://NAME=URL`, with `,account:ID` where need be.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (endpoint, url) = text.split_once('=').ok_or(
            "expected https://NAME=URL, for example https://xks.example.com=http://127.0.0.1:8000",
        )?;
        let (url, account) = match url.split_once(',') {
            None => (url, None),
            Some((url, part)) => {
                let id = part.strip_prefix("account:").ok_or("expected URL,account:ID")?;
                let id = id.parse().map_err(|_| format!("`{id}` is no account id"))?;
                (url, Some(id))
            }
        };
        let host = |text: &str| {
            let sound = |b: u8| b.is_ascii_alphanumeric() || b"-._:[]".contains(&b);
            !text.is_empty() && text.bytes().all(sound)
        };
        let of = |text: &'_ str, scheme| text.strip_prefix(scheme).is_some_and(host);
        if !of(endpoint, "https://") || endpoint["https://".len()..].contains(':') {
            return Err("an endpoint is https:// and a name, without a port".into());
        }
        if !of(url, "https://") && !of(url, "http://") {
            return Err("an endpoint is reached by https:// or http://, a host and a port".into());
        }
        Ok(Self { endpoint: endpoint.into(), url: url.into(), account })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_is_an_id_a_module_and_a_token() {
        let hsm = Hsm::parse("cluster-abcdefg2345=module:/lib/x.so,token:kms").unwrap();
        assert_eq!((hsm.cluster.as_str(), hsm.token.as_str()), ("cluster-abcdefg2345", "kms"));
        let hsm = Hsm::parse(
            "cluster-abcdefg2345=token:a b,module:/x.so,user:kmsuser,anchor:/ca.crt,account:123456789012",
        )
        .unwrap();
        assert_eq!((hsm.token.as_str(), hsm.user.as_deref()), ("a b", Some("kmsuser")));
        for text in [
            "",
            "cluster-abcdefg2345",
            "cluster-abc=module:/x.so,token:t",
            "cluster-abcdefg2348=module:/x.so,token:t",
            "cluster-abcdefg2345=module:/x.so",
            "cluster-abcdefg2345=token:t",
            "cluster-abcdefg2345=module:/x.so,token:",
            "cluster-abcdefg2345=module:/x.so,token:t,token:u",
            "cluster-abcdefg2345=module:/x.so,token:t,pin:1234",
            "cluster-abcdefg2345=module:/x.so,token:t,account:1",
        ] {
            assert!(Hsm::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_cluster_is_one_accounts() {
        let account = |text: &str| text.parse::<AccountId>().unwrap();
        let (owner, other) = (account("111111111111"), account("222222222222"));
        let hsms = vec![
            Hsm::parse("cluster-aaaaaaaaaaa=module:/x.so,token:t").unwrap(),
            Hsm::parse("cluster-bbbbbbbbbbb=module:/x.so,token:u,account:222222222222").unwrap(),
        ];
        let backends = Backends { hsms, owner: Some(owner), ..Backends::default() };
        assert!(backends.hsm(owner, "cluster-aaaaaaaaaaa").is_some());
        assert!(backends.hsm(other, "cluster-aaaaaaaaaaa").is_none());
        assert!(backends.hsm(owner, "cluster-bbbbbbbbbbb").is_none());
        assert!(backends.hsm(other, "cluster-bbbbbbbbbbb").is_some());
        let backends = Backends { owner: None, ..backends };
        assert!(backends.hsm(owner, "cluster-aaaaaaaaaaa").is_none());
    }

    #[test]
    fn an_endpoint_is_reached_where_it_is_said_to_be_by_its_account_alone() {
        let account = |text: &str| text.parse::<AccountId>().unwrap();
        let (owner, other) = (account("111111111111"), account("222222222222"));
        let endpoints = [
            "https://xks.example.com=http://127.0.0.1:8000",
            "https://xks.example.com=http://127.0.0.1:9000,account:222222222222",
            "https://b.example.com=https://10.0.0.1,account:222222222222",
        ];
        let endpoints = endpoints.map(|text| Endpoint::parse(text).unwrap()).to_vec();
        let backends = Backends { endpoints, owner: Some(owner), ..Backends::default() };
        assert_eq!(backends.reached(owner, "https://xks.example.com"), "http://127.0.0.1:8000");
        assert_eq!(backends.reached(other, "https://xks.example.com"), "http://127.0.0.1:9000");
        assert_eq!(backends.reached(owner, "https://b.example.com"), "https://b.example.com");
        assert_eq!(backends.reached(other, "https://b.example.com"), "https://10.0.0.1");
        assert_eq!(backends.reached(owner, "https://xks.example.org"), "https://xks.example.org");
        for text in [
            "https://xks.example.com",
            "http://xks.example.com=http://127.0.0.1",
            "https://xks.example.com:443=https://127.0.0.1",
            "https://xks.example.com=127.0.0.1",
            "https://xks.example.com=https://127.0.0.1/path",
            "https://xks.example.com=https://u@127.0.0.1",
            "https://xks.example.com=https://127.0.0.1,account:1",
            "https://xks.example.com=https://127.0.0.1,222222222222",
            "https://xks.example.com=https://127.0.0.1,account:222222222222,account:222222222222",
        ] {
            assert!(Endpoint::parse(text).is_err(), "{text}");
        }
    }
}
