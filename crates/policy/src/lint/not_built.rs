//! What AWS has, or had, and this has not.

/// Codes without a check here, each with the reason.
pub const NOT_BUILT: &[(&str, &str)] = &[
    (
        "SCP_SYNTAX_ERROR_ACTION_WILDCARD",
        "service control policies take wildcards anywhere in an action since they have the whole \
         language; the page still lists the check",
    ),
    (
        "UNSUPPORTED_GLOBAL_CONDITION_KEY",
        "aws:ARN is reported as DEPRECATED_GLOBAL_CONDITION_KEY; AWS does not say where it is an \
         error instead",
    ),
    (
        "SCP_SYNTAX_ERROR_ALLOW_CONDITION",
        "retired: service control policies have the whole language now",
    ),
    (
        "SCP_SYNTAX_ERROR_ALLOW_NOTACTION",
        "retired: service control policies have the whole language now",
    ),
    (
        "SCP_SYNTAX_ERROR_ALLOW_RESOURCE",
        "retired: service control policies have the whole language now",
    ),
    (
        "SCP_SYNTAX_ERROR_NOTRESOURCE",
        "retired: service control policies have the whole language now",
    ),
    ("UNSUPPORTED_SYMBOL_IN_VARIABLE", "retired: no longer on AWS's page"),
];
