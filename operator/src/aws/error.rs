//! An SDK's error in; what it means for a budget or an endpoint, in a word and with the remedy, out.

use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use std::error::Error as _;
use tollway_core::status::Trouble;

/// Why a call to AWS failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{action}: {message}")]
pub struct AwsError {
    /// The right that the call needs, such as `budgets:ModifyBudget`.
    pub action: &'static str,
    /// What it means.
    pub kind: AwsErrorKind,
    /// What AWS or the way there said.
    pub message: String,
}

/// What a failure means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AwsErrorKind {
    /// The operator's identity may not do this.
    AccessDenied,
    /// There is no usable identity, or no region.
    NoCredentials,
    /// What was spoken of is not there.
    NotFound,
    /// What was to be made is there already.
    Exists,
    /// Too many calls; later again.
    Throttled,
    /// The account may have no more of it.
    Quota,
    /// AWS refuses the request as it is.
    Refused,
    /// AWS, or the way there, is down.
    Unavailable,
}

impl AwsError {
    /// What an SDK call came to.
    pub fn of<E: ProvideErrorMetadata + std::error::Error + 'static, R: std::fmt::Debug>(
        action: &'static str,
        error: &SdkError<E, R>,
    ) -> AwsError {
        let (kind, message) = match error {
            SdkError::ServiceError(service) => {
                let code = service.err().code().unwrap_or("unknown error");
                (kind(code), format!("{code}: {}", service.err().message().unwrap_or("no message")))
            }
            other => {
                // The cause stands at the end of the chain: no credentials, no region, connection refused.
                let mut causes = vec![other.to_string()];
                let mut cause = other.source();
                while let Some(next) = cause {
                    causes.push(next.to_string());
                    cause = next.source();
                }
                let message = causes.join(": ");
                let unidentified = ["credential", "region"].iter().any(|word| message.to_lowercase().contains(word));
                let kind = if matches!(other, SdkError::DispatchFailure(_) | SdkError::ConstructionFailure(_))
                    && unidentified
                {
                    AwsErrorKind::NoCredentials
                } else {
                    AwsErrorKind::Unavailable
                };
                (kind, message)
            }
        };
        AwsError { action, kind, message }
    }

    /// What to say of it on a budget.
    pub fn trouble(&self) -> Trouble {
        self.told("docs/aws.md", "; the cap holds without")
    }

    /// What to say of it on an embedding endpoint.
    pub fn on_endpoint(&self) -> Trouble {
        self.told("docs/embeddings.md", "")
    }

    fn told(&self, page: &str, beside: &str) -> Trouble {
        let AwsError { action, kind, message } = self;
        let (reason, remedy) = match kind {
            AwsErrorKind::AccessDenied => {
                ("AccessDenied", format!("allow the operator's identity {action} ({page} has the policy)"))
            }
            AwsErrorKind::NoCredentials => {
                ("NoCredentials", format!("give the operator an AWS identity and AWS_REGION ({page})"))
            }
            AwsErrorKind::NotFound => ("NotFound", "check the account, the region and the name".to_owned()),
            AwsErrorKind::Exists => ("NotOurs", "choose another name, or delete the one that is there".to_owned()),
            AwsErrorKind::Throttled => ("Throttled", "it is tried again, less often".to_owned()),
            AwsErrorKind::Quota => ("QuotaExceeded", "ask AWS for a higher quota, or ask for less".to_owned()),
            AwsErrorKind::Refused => ("Refused", "mend what AWS names".to_owned()),
            AwsErrorKind::Unavailable => ("Unavailable", "it is tried again".to_owned()),
        };
        Trouble { reason, message: format!("{action}: {message}: {remedy}{beside}") }
    }
}

fn kind(code: &str) -> AwsErrorKind {
    match code {
        "AccessDeniedException"
        | "AccessDenied"
        | "AuthorizationError"
        | "AuthorizationErrorException"
        | "UnauthorizedOperation" => AwsErrorKind::AccessDenied,
        "UnrecognizedClientException"
        | "InvalidClientTokenId"
        | "ExpiredToken"
        | "ExpiredTokenException"
        | "InvalidSignatureException"
        | "SignatureDoesNotMatch"
        | "IncompleteSignature"
        | "MissingAuthenticationToken" => AwsErrorKind::NoCredentials,
        "NotFoundException" | "NotFound" | "ResourceNotFoundException" | "ObjectNotFoundException" => {
            AwsErrorKind::NotFound
        }
        "DuplicateRecordException" => AwsErrorKind::Exists,
        "ThrottlingException"
        | "Throttling"
        | "Throttled"
        | "TooManyRequestsException"
        | "RequestLimitExceeded"
        | "ConcurrentUpdateException"
        | "ResourceLockedException" => AwsErrorKind::Throttled,
        "CreationLimitExceededException"
        | "LimitExceededException"
        | "ResourceLimitExceeded"
        | "ServiceQuotaExceededException" => AwsErrorKind::Quota,
        "InvalidParameterException"
        | "InvalidParameter"
        | "InvalidParameterValue"
        | "ValidationException"
        | "ValidationError" => AwsErrorKind::Refused,
        _ => AwsErrorKind::Unavailable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_right_is_named_with_the_remedy() {
        let error = AwsError {
            action: "budgets:ModifyBudget",
            kind: kind("AccessDeniedException"),
            message: "AccessDeniedException: User is not authorized".to_owned(),
        };
        let trouble = error.trouble();
        assert_eq!(trouble.reason, "AccessDenied");
        assert!(trouble.message.contains("budgets:ModifyBudget") && trouble.message.contains("allow"), "{trouble:?}");
    }

    #[test]
    fn codes_of_every_service_are_known() {
        assert_eq!(kind("AuthorizationError"), AwsErrorKind::AccessDenied);
        assert_eq!(kind("Throttled"), AwsErrorKind::Throttled);
        assert_eq!(kind("ObjectNotFoundException"), AwsErrorKind::NotFound);
        assert_eq!(kind("LimitExceededException"), AwsErrorKind::Quota);
        assert_eq!(kind("InternalErrorException"), AwsErrorKind::Unavailable);
    }
}
