//! What cannot be stored does not compile, and the compiler says why: the cases in `tests/ui`.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs, io};

/// The messages are compared on one toolchain, the one that `.ci/run` names: compilers word and
/// draw their errors differently. On any other one the cases must only fail to compile: they are
/// copied to a place without the expected messages, and this test runs itself again there with
/// `TRYBUILD=overwrite`, by which every message is accepted but no success.
#[test]
fn what_cannot_be_stored_does_not_compile() {
    if let Some(copies) = env::var_os(COPIES) {
        trybuild::TestCases::new().compile_fail(PathBuf::from(copies).join("*.rs"));
    } else if toolchain().starts_with(SNAPSHOT_TOOLCHAIN) {
        trybuild::TestCases::new().compile_fail("tests/ui/*.rs");
    } else {
        fail_without_their_messages();
    }
}

fn fail_without_their_messages() {
    let copies = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder for copies");
    copy_cases(copies.path()).expect("the cases can be copied");
    let again = Command::new(env::current_exe().expect("this test's own path"))
        .args(["--exact", "rejected::what_cannot_be_stored_does_not_compile", "--nocapture"])
        .env("TRYBUILD", "overwrite")
        .env(COPIES, copies.path())
        .status()
        .expect("this test runs again");
    assert!(again.success(), "a case compiles that must not");
}

fn copy_cases(copies: &Path) -> io::Result<()> {
    for case in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/ui"))? {
        let case = case?;
        if case.path().extension().is_some_and(|extension| extension == "rs") {
            fs::copy(case.path(), copies.join(case.file_name()))?;
        }
    }
    Ok(())
}

/// As `rustc --version` prints it, without the program's name.
fn toolchain() -> String {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let version = Command::new(rustc).arg("--version").output().expect("rustc runs").stdout;
    String::from_utf8_lossy(&version).trim_start_matches("rustc ").to_owned()
}

const SNAPSHOT_TOOLCHAIN: &str = "1.95.";
const COPIES: &str = "KVSD_UI_COPIES";
