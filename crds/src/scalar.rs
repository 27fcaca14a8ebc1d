//! Text with a form: amounts, durations, names. The schema carries pattern and length; reading the value is the validator's work.
//!
//! # Why the types keep the text
//! A typed watch must not die of one bad value, so nothing is parsed while deserializing.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use std::{borrow::Cow, fmt};

macro_rules! text {
    ($(#[$meta:meta])* $name:ident, max $max:literal, pattern $pattern:literal) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub String);

        impl $name {
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
    Amount, max 19, pattern r"^[0-9]{1,9}(\.[0-9]{1,9})?$"
}

text! {
    /// A time span: a whole number and a unit of `ms`, `s`, `m` or `h`, like `500ms`, `300s`, `5m`. Zero is `0s`.
    Duration, max 12, pattern "^[0-9]{1,9}(ms|s|m|h)$"
}

text! {
    /// The name of something inside a resource: lower case letters, digits and `-`, at most 63 characters.
    Name, max 63, pattern "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
}

text! {
    /// A model name as clients send it: visible ASCII, at most 256 characters.
    ModelName, max 256, pattern "^[!-~]+$"
}

text! {
    /// The name of a Kubernetes object.
    ObjectName, max 253, pattern r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"
}

text! {
    /// A key inside a Secret.
    DataKey, max 253, pattern "^[-._a-zA-Z0-9]+$"
}

text! {
    /// An AWS resource name.
    Arn, max 2048, pattern "^arn:[-a-z]+:.+$"
}

text! {
    /// An AWS region such as `us-east-1`.
    Region, max 32, pattern "^[a-z]{2,}(-[a-z]+)+-[0-9]+$"
}

text! {
    /// The value of a label.
    LabelValue, max 63, pattern "^[A-Za-z0-9]([-_.A-Za-z0-9]*[A-Za-z0-9])?$"
}
