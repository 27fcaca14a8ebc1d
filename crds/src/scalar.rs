//! Text with a form: amounts, durations, names. The schema carries pattern and length; reading the value is the validator's work.
//!
//! # Why the types keep the text
//! A typed watch must not die of one bad value, so nothing is parsed while deserializing.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use std::{borrow::Cow, fmt};

macro_rules! text {
    ($(#[$meta:meta])* $name:ident, max $max:literal, pattern $pattern:literal, like $words:literal) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub String);

        impl $name {
            const FORM: (&'static str, &'static str) = ($pattern, $words);

            /// The text as written.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.to_owned())
            }
        }

        impl JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "minLength": 1, "maxLength": $max, "pattern": $pattern })
            }
        }
    };
}

text! {
    /// US dollars as decimal text in quotes, like `"12.50"`: at most 9 digits before the point and 9 after it. Never a float.
    Amount, max 19, pattern r"^[0-9]{1,9}(\.[0-9]{1,9})?$", like "US dollars as decimal text such as \"12.50\", at most 9 digits before the point and 9 after it"
}

text! {
    /// A time span: a whole number and a unit of `ms`, `s`, `m` or `h`, like `500ms`, `300s`, `5m`. Zero is `0s`.
    Duration, max 12, pattern "^[0-9]{1,9}(ms|s|m|h)$", like "a whole number and a unit (ms, s, m, h) such as 500ms, 300s or 5m"
}

text! {
    /// The name of something inside a resource: lower case letters, digits and `-`, at most 63 characters.
    Name, max 63, pattern "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", like "lower case letters, digits and -, such as nova-pro"
}

text! {
    /// A model name as clients send it: visible ASCII, at most 256 characters.
    ModelName, max 256, pattern "^[!-~]+$", like "visible ASCII without spaces, such as assistant"
}

text! {
    /// The name of a Kubernetes object.
    ObjectName, max 253, pattern r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$", like "the name of a Kubernetes object: lower case letters, digits, - and ."
}

text! {
    /// A key inside a Secret.
    DataKey, max 253, pattern "^[-._a-zA-Z0-9]+$", like "letters, digits, -, _ and ."
}

text! {
    /// An AWS resource name.
    Arn, max 2048, pattern "^arn:[-a-z]+:.+$", like "an ARN such as arn:aws:iam::123456789012:role/models"
}

text! {
    /// An AWS region such as `us-east-1`.
    Region, max 32, pattern "^[a-z]{2,}(-[a-z]+)+-[0-9]+$", like "an AWS region such as us-east-1"
}

text! {
    /// The value of a label.
    LabelValue, max 63, pattern "^[A-Za-z0-9]([-_.A-Za-z0-9]*[A-Za-z0-9])?$", like "a label value: letters, digits, -, _ and ."
}

/// The form behind a pattern of this API in words, with an example; for error messages.
#[must_use]
pub fn form(pattern: &str) -> Option<&'static str> {
    [
        Amount::FORM,
        Duration::FORM,
        Name::FORM,
        ModelName::FORM,
        ObjectName::FORM,
        DataKey::FORM,
        Arn::FORM,
        Region::FORM,
        LabelValue::FORM,
        (
            "^https?://[^\\s?#@]+$",
            "http:// or https://, a host and an optional port and path; no user, query or fragment",
        ),
        ("^https://[^\\s?#@]+$", "https://, a host and an optional port and path; no user, query or fragment"),
        ("^/[!-~]*$", "a path that starts with /"),
        ("^s3://[!-~]+$", "an S3 URI such as s3://bucket/key"),
        ("^[0-9]{12}$", "an AWS account id of 12 digits"),
        ("^([1-9][0-9]*|DRAFT)$", "a version number or DRAFT"),
    ]
    .into_iter()
    .find_map(|(p, words)| (p == pattern).then_some(words))
}
