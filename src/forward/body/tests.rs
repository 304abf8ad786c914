use http::HeaderMap;
use http_body_util::BodyExt;
use std::collections::VecDeque;
use std::convert::Infallible;

use super::*;

/// Pieces of a body, an error among them or not; counts what was asked for.
struct Pieces {
    pieces: VecDeque<Result<Frame<Bytes>, &'static str>>,
    told: SizeHint,
    polls: usize,
}

impl Body for &mut Pieces {
    type Data = Bytes;
    type Error = &'static str;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, &'static str>>> {
        self.polls += 1;
        Poll::Ready(self.pieces.pop_front())
    }

    fn size_hint(&self) -> SizeHint {
        self.told
    }
}

fn piece(text: &'static str) -> Result<Frame<Bytes>, &'static str> {
    Ok(Frame::data(Bytes::from_static(text.as_bytes())))
}

#[tokio::test]
async fn collected() {
    let trailers = || Ok(Frame::trailers(HeaderMap::new()));
    let mut over = SizeHint::new();
    over.set_lower(6);
    let none = SizeHint::new;
    for (name, pieces, told, want, polls) in [
        ("nothing", vec![], none(), Ok(""), 1),
        ("one piece", vec![piece("abc")], none(), Ok("abc"), 2),
        ("several", vec![piece("ab"), piece(""), piece("cde")], none(), Ok("abcde"), 4),
        ("an empty one first", vec![piece(""), piece("ab")], none(), Ok("ab"), 3),
        ("trailers go", vec![piece("ab"), trailers()], none(), Ok("ab"), 3),
        ("exactly the cap", vec![piece("abcd"), piece("e")], none(), Ok("abcde"), 3),
        (
            "F149 one over, told by nobody",
            vec![piece("abcde"), piece("f"), piece("g")],
            none(),
            Err(CollectFault::TooLarge),
            2,
        ),
        ("FH7 one over, told before", vec![piece("abcdef")], over, Err(CollectFault::TooLarge), 0),
        ("F235 an error", vec![piece("a"), Err("no")], none(), Err(CollectFault::Unreadable), 2),
    ] {
        let mut body = Pieces { pieces: pieces.into(), told, polls: 0 };
        let got = collect(&mut body, 5).await;
        assert_eq!(got, want.map(|text| Bytes::from_static(text.as_bytes())), "{name}");
        assert_eq!(body.polls, polls, "{name}: polls");
    }
}

#[tokio::test]
async fn one_piece_is_not_copied() {
    let bytes = Bytes::from(vec![b'x'; 64]);
    let at = bytes.as_ptr();
    let body = http_body_util::Full::new(bytes);
    assert_eq!(collect(body, 64).await.unwrap().as_ptr(), at);
}

#[tokio::test]
async fn passing_and_held() {
    let full = || http_body_util::Full::new(Bytes::from_static(b"abc"));
    type Same = ForwardBody<http_body_util::Full<Bytes>>;
    for (name, body, want) in [
        ("passing", Same::passing(full()), "abc"),
        ("held", Same::held(Bytes::from_static(b"abc")), "abc"),
        ("from bytes", Same::from(Bytes::from_static(b"x")), "x"),
        ("default", Same::default(), ""),
    ] {
        assert_eq!(body.size_hint().exact(), Some(want.len() as u64), "{name}");
        assert_eq!(body.is_end_stream(), want.is_empty(), "{name}");
        let whole: Result<_, Infallible> = body.collect().await;
        assert_eq!(whole.unwrap().to_bytes(), want, "{name}");
    }
    let held = Same::held(Bytes::from_static(b"secret"));
    assert_eq!(format!("{held:?}"), r#"ForwardBody { state: "held", .. }"#, "F173");
}
