//! What nobody should send: known cases, and sense damaged at random, from seeds.
//!
//! Knows bytes; never who takes them. The tests of sessions send it through pipes, and those in
//! `tests/hostile`, which name this file by its path, through sockets.

/// A small generator, so that a failing seed can be run again.
pub(crate) struct Random(u64);

impl Random {
    /// A generator whose choices are those of this seed.
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).unwrap()
    }

    fn one<'a>(&mut self, of: &[&'a [u8]]) -> &'a [u8] {
        of[self.below(of.len())]
    }
}

/// The first seed of a run; another one makes other choices.
pub(crate) fn first_seed() -> u64 {
    let chosen = std::env::var("KVSD_TEST_NONSENSE_SEED").ok();
    chosen.map_or(1, |seed| seed.parse().expect("KVSD_TEST_NONSENSE_SEED is a number"))
}

/// Bytes that are no message, whatever a session's state and limits, and what the answer says.
pub(crate) const GARBAGE: [(&[u8], &str); 18] = [
    (b"?", "a message begins with '*', this one with byte 0x3f"),
    (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "TLS"),
    (b"*0\r\n", "a message has exactly one type"),
    (b"*\r\n", "not a decimal number"),
    (b"*-1\r\n", "not a decimal number"),
    (b"*01\r\n", "not a decimal number"),
    (b"*18446744073709551616\r\n", "not a decimal number"),
    (b"*18446744073709551615\r\n", "frames here"),
    (b"*0000000000000000000001", "a line has at most 20 bytes here"),
    (b"*2\r\n+text\r\n", "a message has exactly one type"),
    (b"*2\r\n#G#G", "a message has exactly one type"),
    (b"*3\r\n#G!", "unknown frame prefix, byte 0x21"),
    (b"*3\r\n#G$18446744073709551615\r\n", "bytes here"),
    (b"*3\r\n#G$18446744073709551614\r\n", "bytes here"),
    (b"*3\r\n#G$9223372036854775807\r\n", "bytes here"),
    (b"*3\r\n#G$-1\r\n", "not a decimal number"),
    (b"*3\r\n#G$1x\r\n", "not a decimal number"),
    (b"*3\r\n#G$1\r\nabc", "does not end in CR LF where its length says"),
];

/// How a session may begin.
const OPENINGS: [&[u8]; 4] = [
    HELLO,
    b"*3\r\n#\x02+app\r\n+secret\r\n",
    b"",
    b"*6\r\n#H:0\r\n:1\r\n:9\r\n$1\r\na\r\n$1\r\nb\r\n",
];

/// A Hello of somebody who gives no name, with the id 0.
pub(crate) const HELLO: &[u8] = b"*6\r\n#H:0\r\n:2\r\n:2\r\n||";

/// Messages that follow the grammar: all requests of both versions, replies, and parts.
pub(crate) const MESSAGES: [&[u8]; 34] = [
    b"*2\r\n#P:1\r\n",
    b"*4\r\n#G:2\r\n+default\r\n$5\r\nhello\r\n",
    b"*4\r\n#G:2\r\n+default\r\n$6\r\ndisk/a\r\n",
    b"*4\r\n#E:3\r\n+users\r\n$1\r\nk\r\n",
    b"*5\r\n#S:4\r\n+default\r\n$5\r\nhello\r\n$4\r\nrust\r\n",
    b"*10\r\n#S:5\r\n+t\r\n$1\r\nk\r\n$1\r\nv\r\n+version\r\n:1\r\n+expires\r\n:9\r\n+previous\r\n",
    b"*6\r\n#D:6\r\n+default\r\n$1\r\nk\r\n+version\r\n:2\r\n",
    b"*4\r\n#D:7\r\n+default\r\n$5\r\nhello\r\n",
    b"*4\r\n#Y:8\r\n+default\r\n$5\r\nhello\r\n",
    b"*5\r\n#I:9\r\n+default\r\n$1\r\nn\r\n:-3\r\n",
    b"*6\r\n#X:10\r\n+default\r\n$5\r\nhello\r\n+ttl\r\n:9000\r\n",
    b"*11\r\n#B:11\r\n+t\r\n+set\r\n$1\r\na\r\n$1\r\nv\r\n+check\r\n$1\r\nk\r\n+present\r\n\
      +delete\r\n$1\r\nb\r\n",
    b"*11\r\n#L:12\r\n:3\r\n+G\r\n+t\r\n$1\r\na\r\n:4\r\n+S\r\n+t\r\n$6\r\ndisk/a\r\n$1\r\nv\r\n",
    b"*7\r\n#R:13\r\n+default\r\n+from\r\n$1\r\na\r\n+before\r\n$1\r\nz\r\n",
    b"*8\r\n#R:14\r\n+t\r\n+after\r\n$1\r\nz\r\n+to\r\n$1\r\na\r\n+reverse\r\n",
    b"*6\r\n#W:15\r\n+default\r\n||:0\r\n",
    b"*8\r\n#W:16\r\n+default\r\n|:0\r\n:30000\r\n+prefix\r\n$1\r\nq\r\n",
    b"*2\r\n#C:16\r\n",
    b"*3\r\n#N:17\r\n+users\r\n",
    b"*3\r\n#Z:18\r\n+users\r\n",
    b"*3\r\n#T:19\r\n|",
    b"*3\r\n#Q:20\r\n+default\r\n",
    b"*4\r\n#K:21\r\n:70000\r\n$5\r\nhello\r\n",
    b"*4\r\n#K:21\r\n:69995\r\n$5\r\nhello\r\n",
    b"*4\r\n#K:22\r\n:2000000\r\n$1\r\n*\r\n",
    b"*4\r\n#K:22\r\n:0\r\n$1\r\n*\r\n",
    b"*3\r\n#\x01T2024-06-01T12:00:00Z\r\n|",
    b"*3\r\n#\x05+hello\r\n$4\r\nrust\r\n",
    b"*2\r\n#\x06+hello\r\n",
    b"*2\r\n#\x07+hello\r\n",
    b"*2\r\n#\x03|",
    b"*3\r\n#\x04+UNDEFINED\r\n+\r\n",
    HELLO,
    b"*3\r\n#\x02+app\r\n+secret\r\n",
];

const TOKENS: [&[u8]; 13] =
    [b"*", b"#", b"+", b"$", b"T", b":", b"|", b"\r\n", b"0", b"1", b"-", b"\xff", b"\x00"];

/// Numbers at which something ends.
const NUMBERS: [&[u8]; 16] = [
    b"0",
    b"1",
    b"-1",
    b"20",
    b"1024",
    b"1025",
    b"16385",
    b"65537",
    b"2147483648",
    b"4294967296",
    b"9223372036854775807",
    b"9223372036854775808",
    b"-9223372036854775808",
    b"18446744073709551614",
    b"18446744073709551615",
    b"99999999999999999999",
];

/// A session's bytes: mostly sense, then damaged in a few places.
pub(crate) fn script(random: &mut Random) -> Vec<u8> {
    let opening = random.one(&OPENINGS);
    damaged(random, opening)
}

/// The same for a session that has begun like this, perhaps.
pub(crate) fn damaged(random: &mut Random, opening: &[u8]) -> Vec<u8> {
    let mut bytes = opening.to_vec();
    for _ in 0..random.below(12) {
        bytes.extend_from_slice(random.one(&MESSAGES));
    }
    for _ in 0..random.below(4) {
        damage(random, &mut bytes);
    }
    bytes
}

fn damage(random: &mut Random, bytes: &mut Vec<u8>) {
    let at = random.below(bytes.len() + 1);
    let after = |wanted: fn(&u8) -> bool| bytes[at..].iter().position(wanted).map(|by| at + by);
    match random.below(8) {
        0 => bytes.truncate(at),
        1 => drop(bytes.splice(at..at, random.one(&TOKENS).iter().copied())),
        2 => drop(bytes.drain(at..bytes.len().min(at + 1 + random.below(8)))),
        3 => {
            let end = bytes.len().min(at + random.below(64));
            bytes.extend_from_within(at..end);
        }
        4 => {
            if let Some(start) = after(u8::is_ascii_digit) {
                let digits = bytes[start..].iter().take_while(|byte| byte.is_ascii_digit()).count();
                let number = random.one(&NUMBERS).iter().copied();
                drop(bytes.splice(start..start + digits, number));
            }
        }
        5 => {
            // A message of another type, with these fields.
            let kind = after(|byte| *byte == b'#').and_then(|mark| bytes.get_mut(mark + 1));
            if let Some(kind) = kind {
                let other = random.one(&MESSAGES);
                *kind = other[1 + other.iter().position(|byte| *byte == b'#').unwrap()];
            }
        }
        _ if at == bytes.len() => {}
        6 => bytes[at] ^= 1 << random.below(8),
        _ => bytes[at] = u8::try_from(random.below(256)).unwrap(),
    }
}
