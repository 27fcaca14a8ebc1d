//! Answers in every shape, well and badly formed, in; the vectors of each, or what is wrong with it, out.

use super::*;
use proptest::prelude::*;

fn expected(texts: usize, dimensions: usize) -> Expected {
    Expected { texts, dimensions, normalize: false, pooling: Pooling::None }
}

fn texts(body: &str, expected: Expected) -> Result<Vec<String>, Wrong> {
    let read = read(&Bytes::copy_from_slice(body.as_bytes()), expected)?;
    Ok(read.vectors.iter().map(|vector| String::from_utf8(vector.to_vec()).unwrap()).collect())
}

#[test]
fn every_shape_gives_its_vectors_as_they_came_in_order() {
    for body in [
        " [[1.0, -2e0],[3,4.5]] ",
        r#"{"embeddings":[[1.0, -2e0],[3,4.5]]}"#,
        r#"{"object":"list","data":[{"index":1,"embedding":[3,4.5]},{"object":"embedding","embedding":[1.0, -2e0],"index":0}],"usage":{"x":[1],"prompt_tokens":7}}"#,
    ] {
        assert_eq!(texts(body, expected(2, 2)).unwrap(), ["[1.0, -2e0]", "[3,4.5]"], "{body}");
    }
    let body = Bytes::from_static(br#"{"data":[{"embedding":[1]}],"usage":{"prompt_tokens":7,"total_tokens":9}}"#);
    assert_eq!(read(&body, expected(1, 1)).unwrap().tokens, Some(7));
}

#[test]
fn what_is_not_expected_is_named() {
    let wrong = |body: &str| texts(body, expected(2, 2)).unwrap_err();
    assert_eq!(wrong("[[1,2],[1,2,3]]"), Wrong::Dimensions { got: 3, expected: 2 });
    assert_eq!(wrong("[[1,2]]"), Wrong::Count { got: 1, expected: 2 });
    assert_eq!(wrong("[[[1,2]],[[1,2]]]"), Wrong::NotPooled);
    for body in [
        "",
        "[",
        "[[1,2],[1,2]",
        "[[1,2],[1,2]]x",
        "[[1,NaN],[1,2]]",
        "[[1,null],[1,2]]",
        "[[1,1e999],[1,2]]",
        "[[1,01],[1,2]]",
        "[[1,.5],[1,2]]",
        "[[1,5.],[1,2]]",
        "[[1,-],[1,2]]",
        "[[1,2,],[1,2]]",
        "{}",
        "{\"embeddings\":7}",
        "{\"data\":[{}]}",
        "null",
        r#"{"data":[{"index":0,"embedding":[1,2]},{"index":0,"embedding":[1,2]}]}"#,
        "[[1,1e],[1,2]]",
        "[[1,2],\"x\"]",
    ] {
        assert!(matches!(wrong(body), Wrong::Form { .. }), "{body}: {}", wrong(body));
    }
}

#[test]
fn tokens_are_pooled_and_vectors_scaled() {
    let pooled = |pooling, body: &str| texts(body, Expected { pooling, ..expected(1, 2) }).unwrap();
    let tokens = "[[[1,2],[3,6]]]";
    assert_eq!(pooled(Pooling::Cls, tokens), ["[1.0,2.0]"]);
    assert_eq!(pooled(Pooling::Mean, tokens), ["[2.0,4.0]"]);
    assert_eq!(pooled(Pooling::Mean, "[[[[1,2],[3,6]]]]"), ["[2.0,4.0]"], "a batch of one around them");
    let scaled = |body| texts(body, Expected { normalize: true, ..expected(1, 2) }).unwrap();
    assert_eq!(scaled("[[3,4]]"), ["[0.600000000,0.800000000]"]);
    assert_eq!(scaled("[[0.60,8e-1]]"), ["[0.60,8e-1]"], "digit for digit when it is of length 1");
    assert_eq!(scaled("[[0,0.0]]"), ["[0,0.0]"]);
}

proptest! {
    #[test]
    fn numbers_are_read_as_the_standard_library_reads_them(numbers in prop::collection::vec(any::<f32>().prop_filter("finite", |n| n.is_finite()), 1..40)) {
        let short = serde_json::to_vec(&numbers).unwrap();
        prop_assert_eq!(super::numbers(&short), numbers.clone());
        // The same numbers as doubles: seventeen digits.
        let doubles: Vec<f64> = numbers.iter().map(|number| f64::from(*number)).collect();
        prop_assert_eq!(super::numbers(&serde_json::to_vec(&doubles).unwrap()), numbers);
    }

    #[test]
    fn no_bytes_make_it_panic(body in prop::collection::vec(prop::sample::select(b"[]{}\",:.-+eE0123456789 naembdigx".to_vec()), 0..80)) {
        let _ = read(&Bytes::from(body), expected(1, 1));
    }
}
