//! How a target's bytes are cut into pieces, so that seeds can be read and written by hand.

/// The first byte as a number of settings, and the rest.
pub(super) fn settings(bytes: &[u8]) -> Option<(usize, &[u8])> {
    bytes.split_first().map(|(first, rest)| (usize::from(*first), rest))
}

/// The lines of `bytes`, at most `most`; the last one holds what is left.
pub(super) fn lines(bytes: &[u8], most: usize) -> Vec<&[u8]> {
    bytes.splitn(most, |byte| *byte == b'\n').collect()
}

/// The line at `at` as text, `None` if it is not there.
pub(super) fn text(lines: &[&[u8]], at: usize) -> Option<String> {
    lines.get(at).map(|line| String::from_utf8_lossy(line).into_owned())
}
