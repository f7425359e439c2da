//! Names and paths: what they may be, and how they compare.

use crate::errors;
use ringfence_wire::ServiceError;
use std::borrow::Cow;

/// The form that names are compared in: IAM does not tell names apart by case.
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html#reference_iam-quotas-names>
pub(crate) fn folded(name: &str) -> Cow<'_, str> {
    if name.bytes().any(|b| b.is_ascii_uppercase()) {
        Cow::Owned(name.to_ascii_lowercase())
    } else {
        Cow::Borrowed(name)
    }
}

/// The path of something new: `/` where none is given. The model's pattern has been checked; it
/// lets empty segments through, IAM does not.
pub(crate) fn path(given: Option<&str>) -> Result<&str, ServiceError> {
    match given {
        None => Ok("/"),
        Some(path) if path.contains("//") => Err(errors::bad_path()),
        Some(path) => Ok(path),
    }
}

/// The paths of roles that services own.
pub(crate) const SERVICE_LINKED: &str = "/aws-service-role/";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fold_to_lower_case_without_copying_where_they_can() {
        assert!(matches!(folded("ann-1"), Cow::Borrowed("ann-1")));
        assert_eq!(folded("Ann"), "ann");
    }

    #[test]
    fn a_path_has_no_empty_segment() {
        assert_eq!(path(None).unwrap(), "/");
        assert_eq!(path(Some("/a/b/")).unwrap(), "/a/b/");
        assert!(path(Some("//a/")).is_err());
        assert!(path(Some("/a//")).is_err());
    }
}
