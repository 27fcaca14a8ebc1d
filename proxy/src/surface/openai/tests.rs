//! The dialect against its own rules: peek against a full parse, splice against the untouched bytes, the meter against any chunking.
