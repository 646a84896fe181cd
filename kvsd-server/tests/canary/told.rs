//! Everything that was told to anybody, and the search for what must not be in it.

use std::error::Error;
use std::fmt::Debug;
use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::process::Output;
use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// The password that is right.
pub(crate) const PASSWORD: &str = "password-Kanarienvogel-9471";
/// A password that is wrong.
pub(crate) const WRONG: &str = "password-Girlitzweibchen-3306";
/// A user who is unknown: it may be a password that was typed in the wrong place.
pub(crate) const STRANGER: &str = "user-Dompfaffenpaar-7741";
/// What every key holds.
pub(crate) const KEY: &str = "key-Zeisigschwarm-3802";
/// What every value holds.
pub(crate) const VALUE: &str = "value-Stieglitznest-5526";

/// The middle of each: a part of a secret is one too.
const STEMS: [&str; 5] =
    ["Kanarienvogel", "Girlitzweibchen", "Dompfaffenpaar", "Zeisigschwarm", "Stieglitznest"];
/// The stems of passwords, which may be in no file at all.
const PASSWORDS: [&str; 3] = [STEMS[0], STEMS[1], STEMS[2]];

/// Everything that was told.
#[derive(Clone, Default)]
pub(crate) struct Told(Arc<Mutex<Vec<Piece>>>);

/// Something that was told, and where.
struct Piece {
    place: String,
    text: Vec<u8>,
}

impl Told {
    pub(crate) fn add(&self, place: impl Into<String>, text: impl Into<Vec<u8>>) {
        let piece = Piece { place: place.into(), text: text.into() };
        self.0.lock().unwrap().push(piece);
    }

    /// What its `Debug` shows of a value.
    pub(crate) fn shown(&self, what: &impl Debug) {
        let place = format!("Debug of {}", std::any::type_name_of_val(what));
        self.add(place.clone(), format!("{what:?}"));
        self.add(place, format!("{what:#?}"));
    }

    /// All that an error and its causes say of themselves.
    pub(crate) fn error(&self, place: &str, error: &(dyn Error + 'static)) {
        let mut next = Some(error);
        while let Some(error) = next {
            self.add(format!("error of {place}"), format!("{error} {error:?} {error:#?}"));
            next = error.source();
        }
    }

    /// Both streams of a command, or only standard error for one that prints what is stored.
    pub(crate) fn output(&self, place: &str, output: &Output) {
        self.add(format!("standard error of {place}"), output.stderr.clone());
        if !output.status.success() {
            self.add(format!("standard output of {place}"), output.stdout.clone());
        }
    }

    /// The lines of `tracing` that this process writes.
    pub(crate) fn writer(&self) -> Lines {
        Lines(self.clone())
    }

    #[track_caller]
    pub(crate) fn assert_holds_no(&self, stems: &[&str]) {
        for Piece { place, text } in self.0.lock().unwrap().iter() {
            if let Some(form) = leak(text, stems) {
                panic!("{place} tells {form:?}: {}", String::from_utf8_lossy(text));
            }
        }
    }

    #[track_caller]
    pub(crate) fn assert_clean(&self) {
        self.assert_holds_no(&STEMS);
    }

    /// Whether something like this was told; the search would find nothing in nothing.
    #[track_caller]
    pub(crate) fn assert_told(&self, words: &str) {
        let told = self.0.lock().unwrap();
        let has = |piece: &Piece| String::from_utf8_lossy(&piece.text).contains(words);
        assert!(told.iter().any(has), "nobody was told {words:?}");
    }
}

/// Reads every file of a folder: no password is in any, and no key or value in those that
/// `is_data` does not name.
pub(crate) fn assert_clean_files(folder: &Path, is_data: &dyn Fn(&Path) -> bool) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            assert_clean_files(&path, is_data);
        } else if path.is_file() {
            let stems = if is_data(&path) { &PASSWORDS[..] } else { &STEMS[..] };
            let bytes = fs::read(&path).unwrap();
            let found = leak(&bytes, stems);
            assert!(found.is_none(), "{} holds {found:?}", path.display());
        }
    }
}

/// The form in which one of these is in a text.
fn leak(text: &[u8], stems: &[&str]) -> Option<String> {
    // Lists of numbers may be torn into lines.
    let plain: Vec<u8> = text.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let holds = |text: &[u8], form: &str| text.windows(form.len()).any(|w| w == form.as_bytes());
    let forms = stems.iter().flat_map(|stem| forms(stem));
    forms.into_iter().find(|form| holds(text, form) || holds(&plain, form))
}

/// A stem as it may be written: as it is, as numbers, in hexadecimal, in base64 at each offset.
fn forms(stem: &str) -> Vec<String> {
    let numbers: Vec<String> = stem.bytes().map(|byte| byte.to_string()).collect();
    let hex: String = stem.bytes().map(|byte| format!("{byte:02x}")).collect();
    let mut forms = vec![stem.to_owned(), stem.to_lowercase(), stem.to_uppercase()];
    forms.extend([numbers.join(","), hex.to_uppercase(), hex]);
    for offset in 0..3 {
        let encoded = STANDARD.encode(format!("{}{stem}", &"..."[..offset]));
        // What its neighbours have a part in is left away.
        forms.push(encoded[4..encoded.len() - 4].to_owned());
    }
    forms
}

pub(crate) struct Lines(Told);

impl Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.add("a line of this process's log", line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_leak_is_found_in_every_form() {
    for leaking in [
        format!("key={KEY:?}"),
        format!("{:?}", VALUE.as_bytes()),
        format!("{:#?}", VALUE.as_bytes()),
        format!("{:?}", bytes::Bytes::from_static(PASSWORD.as_bytes())),
        KEY.bytes().map(|byte| format!("{byte:02x}")).collect(),
        STANDARD.encode(KEY),
        STANDARD.encode(format!("x{VALUE}")),
        STANDARD.encode(format!("xy{VALUE}z")),
        KEY[4..20].to_owned(),
        STRANGER.to_uppercase(),
    ] {
        assert!(leak(leaking.as_bytes(), &STEMS).is_some(), "{leaking}");
    }
    assert_eq!(leak(b"user app, key of 22 bytes", &STEMS), None);
}
