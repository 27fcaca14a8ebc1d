//! A `traceparent` header in, the ids it holds out; and back. As W3C Trace Context has it.

use http::HeaderValue;

/// Where a span stands in its trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Context {
    /// Never all zeros.
    pub trace: [u8; 16],
    /// Never all zeros.
    pub span: [u8; 8],
    /// Whether the trace is recorded.
    pub is_sampled: bool,
}

impl Context {
    /// Reads a header; `None`: it is not one, and the trace begins here.
    #[must_use]
    pub fn read(value: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(value).ok()?;
        let mut parts = text.trim().split('-');
        let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let is_known = version == "00";
        // A later version may have further parts; this one has none.
        if version.len() != 2 || version == "ff" || (is_known && parts.next().is_some()) {
            return None;
        }
        let mut context = Self { trace: [0; 16], span: [0; 8], is_sampled: false };
        let lower = |text: &str| text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        if ![version, trace, span, flags].into_iter().all(lower) {
            return None;
        }
        hex::decode_to_slice(trace, &mut context.trace).ok()?;
        hex::decode_to_slice(span, &mut context.span).ok()?;
        let mut bits = [0; 1];
        hex::decode_to_slice(flags, &mut bits).ok()?;
        context.is_sampled = bits[0] & 1 == 1;
        (context.trace != [0; 16] && context.span != [0; 8]).then_some(context)
    }

    /// A trace that begins here.
    #[must_use]
    pub fn root() -> Self {
        Self { trace: fastrand::u128(1..).to_be_bytes(), span: fastrand::u64(1..).to_be_bytes(), is_sampled: true }
    }

    /// A span below this one.
    #[must_use]
    pub fn child(&self) -> Self {
        Self { span: fastrand::u64(1..).to_be_bytes(), ..self.clone() }
    }

    /// The header.
    #[must_use]
    pub fn header(&self) -> HeaderValue {
        let text = format!("00-{}-{}-0{}", self.trace_id(), hex::encode(self.span), u8::from(self.is_sampled));
        HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static(""))
    }

    /// The trace's id as people write it.
    #[must_use]
    pub fn trace_id(&self) -> String {
        hex::encode(self.trace)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HEADER: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_header_is_read_and_written() {
        let context = Context::read(HEADER.as_bytes()).unwrap();
        assert!(context.is_sampled);
        assert_eq!(context.trace_id(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(context.header(), HEADER);
        let child = context.child();
        assert_eq!((child.trace, child.is_sampled), (context.trace, true));
        assert_ne!(child.span, context.span);
    }

    #[test]
    fn what_is_no_header_begins_a_trace() {
        for wrong in [
            "",
            "00",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e47-00f067aa0ba902b7-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-zz",
        ] {
            assert_eq!(Context::read(wrong.as_bytes()), None, "{wrong}");
        }
        let later = "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00-more";
        assert!(Context::read(later.as_bytes()).is_some_and(|context| !context.is_sampled));
    }

    proptest! {
        #[test]
        fn no_bytes_are_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = Context::read(&bytes);
        }
    }
}
