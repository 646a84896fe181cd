//! Imports records of real Debian packages, then reads every one back and compares it.
//!
//! ```text
//! cargo run --release --example import_packages -- [FILE] [--url URL | --data-dir DIR]
//!                                                  [--verify-only]
//! ```
//!
//! FILE defaults to the sample in this repository. The server is the one at URL (else at
//! `KVSD_URL`; plain `kvsd://` or TLS `kvsds://..?ca=FILE`, or with `KVSD_TLS_CA`), else one inside
//! this program, on DIR or on a temporary folder. `--verify-only` stores nothing: run it after a
//! restart of the server.

mod packages;

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use kvsd::Client;
use kvsd_server::Embedded;

const SAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/data/packages.jsonl");
const TABLE: &str = "packages";

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = match Arguments::parse(std::env::args().skip(1)) {
        Ok(arguments) => arguments,
        Err(problem) => {
            eprintln!("error: {problem}");
            eprintln!("usage: import_packages [FILE] [--url URL | --data-dir DIR] [--verify-only]");
            return ExitCode::from(2);
        }
    };
    match run(&arguments).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", with_causes(&*error));
            ExitCode::FAILURE
        }
    }
}

/// An error and what led to it, as far as it does not say so itself.
fn with_causes(mut error: &dyn Error) -> String {
    let mut text = error.to_string();
    while let Some(cause) = error.source() {
        error = cause;
        let cause = cause.to_string();
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

async fn run(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let records = packages::read(&arguments.file)?;
    let (client, embedded) = connect(&arguments.place).await?;
    let table = client.table(TABLE)?;
    if !arguments.verify_only {
        let job = Job::begin("storing", records.len());
        packages::store(&table, &records, || job.bar.inc(1)).await?;
        job.end("stored");
    }
    let job = Job::begin("verifying", records.len());
    packages::verify(&table, &records, || job.bar.inc(1)).await?;
    job.end("verified");

    client.close().await;
    if let Some(server) = embedded {
        server.close().await?;
    }
    Ok(())
}

/// The client, and the server if that is ours to close.
async fn connect(place: &Place) -> Result<(Client, Option<Embedded>), Box<dyn Error>> {
    let server = match place {
        Place::Remote(url) => {
            let mut builder = Client::builder().url(url)?.timeout(Duration::from_secs(30));
            if let Some(file) = std::env::var_os("KVSD_TLS_CA") {
                builder = builder.ca_file(file);
            }
            return Ok((builder.connect().await?, None));
        }
        Place::Folder(folder) => Embedded::open(folder).await?,
        Place::Temporary => Embedded::temporary().await?,
    };
    Ok((server.client().await?, Some(server)))
}

/// A stretch of work with a progress bar, which is drawn on a terminal and nowhere else.
struct Job {
    bar: ProgressBar,
    started: Instant,
    records: usize,
}

impl Job {
    fn begin(doing: &'static str, records: usize) -> Self {
        let style = ProgressStyle::with_template("{msg:9} {wide_bar} {pos}/{len} {per_sec} {eta}")
            .unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = ProgressBar::new(records as u64).with_style(style).with_message(doing);
        Self { bar, started: Instant::now(), records }
    }

    fn end(self, done: &str) {
        let seconds = self.started.elapsed().as_secs_f64();
        self.bar.finish_and_clear();
        let rate = self.records as f64 / seconds.max(f64::EPSILON);
        println!("{done} {} packages in {seconds:.2} s, {rate:.0} per second", self.records);
    }
}

struct Arguments {
    file: PathBuf,
    place: Place,
    verify_only: bool,
}

/// Where the server is.
enum Place {
    Remote(String),
    Folder(PathBuf),
    Temporary,
}

impl Arguments {
    fn parse(mut given: impl Iterator<Item = String>) -> Result<Self, String> {
        let (mut file, mut url, mut data_dir, mut verify_only) = (None, None, None, false);
        while let Some(argument) = given.next() {
            let mut value = || given.next().ok_or(format!("{argument} wants a value"));
            match argument.as_str() {
                "--url" => url = Some(value()?),
                "--data-dir" => data_dir = Some(PathBuf::from(value()?)),
                "--verify-only" => verify_only = true,
                flag if flag.starts_with('-') => return Err(format!("there is no {flag}")),
                _ if file.is_some() => return Err("there is one FILE".to_owned()),
                name => file = Some(PathBuf::from(name)),
            }
        }
        let place = match (url, data_dir) {
            (Some(_), Some(_)) => return Err("--url and --data-dir exclude each other".to_owned()),
            (Some(url), None) => Place::Remote(url),
            (None, Some(folder)) => Place::Folder(folder),
            (None, None) => std::env::var("KVSD_URL").map_or(Place::Temporary, Place::Remote),
        };
        if verify_only && matches!(place, Place::Temporary) {
            return Err("--verify-only wants --url or --data-dir".to_owned());
        }
        Ok(Self { file: file.unwrap_or_else(|| SAMPLE.into()), place, verify_only })
    }
}
