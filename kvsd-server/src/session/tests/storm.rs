//! Thousands of sessions with sense and nonsense mixed at random, from fixed seeds: none panics,
//! and whatever the server answers is whole messages.

use super::*;

/// A small generator, so that a failing seed can be run again.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).unwrap()
    }

    fn one<'a>(&mut self, of: &[&'a [u8]]) -> &'a [u8] {
        of[self.below(of.len())]
    }
}

const OPENINGS: [&[u8]; 4] = [
    HELLO,
    b"*3\r\n#\x02+app\r\n+secret\r\n",
    b"",
    b"*6\r\n#H:0\r\n:1\r\n:9\r\n$1\r\na\r\n$1\r\nb\r\n",
];

const MESSAGES: [&[u8]; 30] = [
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
    b"*3\r\n#\x01T2024-06-01T12:00:00Z\r\n|",
    b"*3\r\n#\x05+hello\r\n$4\r\nrust\r\n",
    b"*2\r\n#\x06+hello\r\n",
    b"*2\r\n#\x07+hello\r\n",
    b"*2\r\n#\x03|",
    b"*3\r\n#\x04+UNDEFINED\r\n+\r\n",
    HELLO,
    b"*3\r\n#\x02+app\r\n+secret\r\n",
];

const TOKENS: [&[u8]; 14] = [
    b"*",
    b"#",
    b"+",
    b"$",
    b"T",
    b":",
    b"|",
    b"\r\n",
    b"0",
    b"1",
    b"-",
    b"99999999999999999999",
    b"\xff",
    b"\x00",
];

/// A session's bytes: mostly sense, then damaged in a few places.
fn script(random: &mut Random) -> Vec<u8> {
    let mut bytes = random.one(&OPENINGS).to_vec();
    for _ in 0..random.below(12) {
        bytes.extend_from_slice(random.one(&MESSAGES));
    }
    for _ in 0..random.below(4) {
        let at = random.below(bytes.len() + 1);
        match random.below(5) {
            0 => bytes.truncate(at),
            1 => drop(bytes.splice(at..at, random.one(&TOKENS).iter().copied())),
            2 => drop(bytes.drain(at..bytes.len().min(at + 3))),
            _ if at == bytes.len() => {}
            3 => bytes[at] ^= 1 << random.below(8),
            _ => bytes[at] = u8::try_from(random.below(256)).unwrap(),
        }
    }
    bytes
}

#[tokio::test]
async fn nonsense_never_breaks_a_session() {
    for message in MESSAGES {
        let length = Decoder::new(ANY).decode(message).unwrap().map(|whole| whole.byte_len());
        assert_eq!(length, Some(message.len()), "{}", message.escape_ascii());
    }
    let bench = Bench::with_limit(4096);
    let mut answers = 0;
    for seed in 1..=4000_u64 {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let bytes = script(&mut random);
        let Peer { stream, session, .. } = bench.connect_by(1 + random.below(300));
        let (mut reader, mut writer) = tokio::io::split(stream);
        let write = async {
            for piece in bytes.chunks(1 + random.below(40)) {
                // The server may have closed long ago.
                if writer.write_all(piece).await.is_err() {
                    return;
                }
            }
            let _ = writer.shutdown().await;
        };
        let mut said = BytesMut::new();
        let read = async { while reader.read_buf(&mut said).await.unwrap() != 0 {} };
        let ((), (), ended) = tokio::join!(write, read, session);
        let ended = ended.unwrap_or_else(|panic| panic!("seed {seed}: {panic}"));
        assert!(!matches!(ended, Ended::TimedOut | Ended::Unencrypted(_)), "seed {seed}: {ended}");

        let mut decoder = Decoder::new(ANY);
        while let Some(message) = decoder.decode(&said).unwrap() {
            let length = message.byte_len();
            said.advance(length);
            answers += 1;
        }
        assert!(said.is_empty(), "seed {seed}: half an answer: {said:?}");
    }
    assert!(answers > 4000, "the storm was a breeze: {answers} answers");
}
