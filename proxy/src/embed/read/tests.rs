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
fn any_space_between_numbers_is_passed_over() {
    for space in ["", " ", "  ", "\n", " \n\t "] {
        let numbers = ["0.12345678", "-0.123456789", "0.25", "-1e-7", "0.1234567890", "0.00000001"];
        let body = format!("[[{space}{}{space}]]", numbers.join(&format!("{space},{space}")));
        let read = texts(&body, expected(1, 6)).unwrap();
        assert_eq!(super::numbers(read[0].as_bytes()), numbers.map(|number| number.parse::<f32>().unwrap()));
    }
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

    /// Numbers as any server may spell them, and spellings that are none: whatever is read is what JSON says, and nothing else is read.
    #[test]
    fn a_list_is_read_as_json_has_it_or_not_at_all(
        numbers in prop::collection::vec("-?(0|[1-9][0-9]{0,3})\\.[0-9]{1,20}|-?0\\.[0-9]{6,13}|-?0\\.0?[0-9]{8,9}|-?[0-9]{1,3}|-?0\\.[0-9]{7,9}[eE][-+]?[0-9]{1,2}", 0..40),
        spaces in prop::collection::vec(prop::sample::select(vec!["", "", "", "", " ", "  ", "\n", "\r\n\t"]), 82),
        blot in prop::option::of((0..800_usize, prop::sample::select(b"0123456789.,-+eE[] x/:\x00\xff".to_vec()))),
    ) {
        let mut spaces = spaces.into_iter();
        let mut space = || spaces.next().unwrap_or_default();
        let spelt = numbers.iter().map(|number| format!("{}{number}{}", space(), space())).collect::<Vec<_>>().join(",");
        let mut text = format!("[{spelt}]").into_bytes();
        if let Some((at, byte)) = blot {
            let length = text.len();
            text[at % length] = byte;
        }
        let body = Bytes::from([b"[".as_slice(), &text, b"]"].concat());
        let json: Option<Vec<Vec<f64>>> = serde_json::from_slice(&body).ok().filter(|lists: &Vec<Vec<f64>>| lists.len() == 1);
        // What single precision cannot hold is no number of a vector.
        let json = json.filter(|lists| lists[0].iter().all(|number| (*number as f32).is_finite()));
        let dimensions = json.as_ref().map_or(numbers.len(), |lists| lists[0].len());
        let ours = read(&body, expected(1, dimensions));
        prop_assert_eq!(ours.is_ok(), json.is_some(), "{:?} {:?}", ours, String::from_utf8_lossy(&body));
        if let Some(lists) = json {
            let text = std::str::from_utf8(&body).unwrap().trim_matches(['[', ']']);
            let exact: Vec<f32> = text.split(',').filter_map(|number| number.trim().parse::<f64>().ok()).map(|number| number as f32).collect();
            prop_assert_eq!(exact.len(), lists[0].len());
            let ours = super::numbers(&ours.unwrap().vectors[0]);
            prop_assert_eq!(ours.iter().map(|n| n.to_bits()).collect::<Vec<_>>(), exact.iter().map(|n| n.to_bits()).collect::<Vec<_>>());
        }
    }

    /// What a client gets of a vector that had to be scaled has length 1 and the direction of what came.
    #[test]
    fn a_scaled_vector_is_of_length_1_and_points_where_it_did(numbers in prop::collection::vec(-9.0_f32..9.0, 1..300)) {
        let length = numbers.iter().map(|number| f64::from(*number).powi(2)).sum::<f64>().sqrt();
        prop_assume!(length > 1e-3 && (length - 1.0).abs() > 1e-3);
        let body = Bytes::from(serde_json::to_vec(&[&numbers]).unwrap());
        let read = read(&body, Expected { normalize: true, ..expected(1, numbers.len()) }).unwrap();
        let scaled: Vec<f64> = serde_json::from_slice(&read.vectors[0]).unwrap();
        prop_assert_eq!(scaled.len(), numbers.len());
        for (scaled, number) in scaled.iter().zip(&numbers) {
            prop_assert!((scaled - f64::from(*number) / length).abs() <= 5.1e-10);
        }
    }
}
