//! Values that say whose they are: the key, the write's number, the length, and bytes that follow
//! from all three.

/// The value that write `number` puts at `key`, about `length` bytes long.
pub(crate) fn value(key: &str, number: u64, length: usize) -> Vec<u8> {
    let head = format!("{key} {number} {length}\n");
    let pattern = format!("{number:x}/{key}|");
    let repeats = length.saturating_sub(head.len()) / pattern.len();
    (head + &pattern.repeat(repeats)).into_bytes()
}

/// The number of the write that made what stands at `key`.
///
/// # Panics
///
/// If the value is another key's, or not one whole value.
pub(crate) fn number_of(key: &str, bytes: &[u8]) -> u64 {
    let head = bytes.split(|byte| *byte == b'\n').next().unwrap();
    let head = std::str::from_utf8(head).unwrap_or("not a value of the storm");
    let mut parts = head.split(' ');
    let (owner, number, length) = (parts.next(), parts.next(), parts.next());
    assert_eq!(owner, Some(key), "the value of another key: {head}");
    let (number, length) = (number.unwrap().parse().unwrap(), length.unwrap().parse().unwrap());
    assert!(bytes == value(key, number, length), "{key}: a value that is not whole: {head}");
    number
}
