//! The path of a request to the Bedrock runtime in; model and operation out.

/// One of the runtime's operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Api {
    Converse,
    Invoke,
}

/// What a path asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    pub api: Api,
    pub stream: bool,
    /// The model id or ARN as the client wrote it.
    pub model: String,
}

impl Api {
    /// The last segment of the operation's path.
    #[must_use]
    pub const fn action(self, stream: bool) -> &'static str {
        match (self, stream) {
            (Self::Converse, false) => "converse",
            (Self::Converse, true) => "converse-stream",
            (Self::Invoke, false) => "invoke",
            (Self::Invoke, true) => "invoke-with-response-stream",
        }
    }
}

/// Reads `/model/{id}/{operation}`. An ARN's slashes may come encoded or as they are.
#[must_use]
pub fn call(path: &str) -> Option<Call> {
    let (model, action) = path.strip_prefix("/model/")?.rsplit_once('/')?;
    let (api, stream) = [(Api::Converse, false), (Api::Converse, true), (Api::Invoke, false), (Api::Invoke, true)]
        .into_iter()
        .find(|(api, stream)| api.action(*stream) == action)?;
    let model = decoded(model).filter(|model| !model.is_empty())?;
    Some(Call { api, stream, model })
}

/// A part of a path without its percent encoding; `None`: it is none.
#[must_use]
pub fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(if byte == b'%' {
            let digit = |byte: u8| char::from(byte).to_digit(16);
            let (high, low) = (digit(rest.next()?)?, digit(rest.next()?)?);
            u8::try_from(high * 16 + low).ok()?
        } else {
            byte
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_and_arns_come_encoded_or_not() {
        let seen = |path: &str| call(path).map(|call| (call.model, call.api, call.stream));
        let nova = "us.amazon.nova-pro-v1:0".to_owned();
        assert_eq!(seen("/model/us.amazon.nova-pro-v1%3A0/converse"), Some((nova.clone(), Api::Converse, false)));
        assert_eq!(seen("/model/us.amazon.nova-pro-v1:0/invoke"), Some((nova, Api::Invoke, false)));
        let arn = "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.amazon.nova-lite-v1:0".to_owned();
        let encoded = arn.replace(':', "%3A").replace('/', "%2f");
        assert_eq!(seen(&format!("/model/{encoded}/converse-stream")), Some((arn.clone(), Api::Converse, true)));
        assert_eq!(seen(&format!("/model/{arn}/invoke-with-response-stream")), Some((arn, Api::Invoke, true)));
    }

    #[test]
    fn other_paths_are_not_served() {
        for path in
            ["/model/x", "/model//converse", "/model/x/", "/model/%zz/converse", "/model/%e9/converse", "/x/converse"]
        {
            assert_eq!(call(path), None, "{path}");
        }
    }
}
