//! Bytes in CBOR in; the same as JSON out, moments as seconds.

use aws_smithy_cbor::Decoder;
use aws_smithy_cbor::data::Type;
use aws_smithy_cbor::decode::DeserializeError;
use serde_json::{Map, Value};

/// One value and nothing after it.
pub fn read(bytes: &[u8]) -> Result<Value, DeserializeError> {
    let mut decoder = Decoder::new(bytes);
    let read = value(&mut decoder)?;
    if decoder.position() == bytes.len() {
        Ok(read)
    } else {
        Err(DeserializeError::expected_end_of_stream(decoder.position()))
    }
}

fn value(decoder: &mut Decoder<'_>) -> Result<Value, DeserializeError> {
    Ok(match decoder.datatype()? {
        Type::Map | Type::MapIndef => {
            let count = decoder.map()?;
            let mut map = Map::new();
            while goes_on(decoder, count, map.len())? {
                let key = decoder.string()?;
                map.insert(key, value(decoder)?);
            }
            Value::Object(map)
        }
        Type::Array | Type::ArrayIndef => {
            let count = decoder.list()?;
            let mut list = Vec::new();
            while goes_on(decoder, count, list.len())? {
                list.push(value(decoder)?);
            }
            Value::Array(list)
        }
        Type::String | Type::StringIndef => decoder.string()?.into(),
        Type::Bool => decoder.boolean()?.into(),
        Type::F16 | Type::F32 | Type::F64 => decoder.double()?.into(),
        Type::Tag => decoder.timestamp()?.as_secs_f64().into(),
        Type::Null => {
            decoder.null()?;
            Value::Null
        }
        _ => decoder.long()?.into(),
    })
}

fn goes_on(decoder: &mut Decoder<'_>, count: Option<u64>, seen: usize) -> Result<bool, DeserializeError> {
    match count {
        Some(count) => Ok((seen as u64) < count),
        None if decoder.datatype()? == Type::Break => {
            decoder.skip()?;
            Ok(false)
        }
        None => Ok(true),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn maps_of_known_and_unknown_length_are_read() {
        // {_ "a": [1, 2.5], "b": 1(3)}
        let bytes = [0xbf, 0x61, b'a', 0x82, 0x01, 0xf9, 0x41, 0x00, 0x61, b'b', 0xc1, 0x03, 0xff];
        assert_eq!(read(&bytes).unwrap(), json!({"a": [1, 2.5], "b": 3.0}));
        assert_eq!(read(&[0xa0]).unwrap(), json!({}));
        assert!(read(&[0xa0, 0x00]).is_err() && read(&[0xbf]).is_err());
    }
}
