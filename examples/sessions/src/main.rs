//! Runs the service of `lib.rs`.
//!
//! ```text
//! cargo run -p kvsd-example-sessions [ADDRESS]        by default 127.0.0.1:3000
//! ```
//!
//! The sessions are in the kvsd server that `KVSD_URL` names. Without one they are in this process,
//! and gone when it ends.

use std::error::Error;
use std::process::ExitCode;

use kvsd::Client;
use kvsd_example_sessions::service;
use kvsd_server::Embedded;
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> ExitCode {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:3000".to_owned());
    match run(&address).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // With the causes.
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(address: &str) -> Result<(), Box<dyn Error>> {
    let (builder, embedded) = match std::env::var("KVSD_URL") {
        Ok(url) => (Client::builder().url(&url)?, None),
        Err(_) => {
            let server = Embedded::temporary().await?;
            (Client::builder().transport(server.transport()), Some(server))
        }
    };
    // Four connections, shared by all requests at once; each carries many at a time.
    let client = builder.pool_size(4).connect().await?;

    let listener = TcpListener::bind(address).await.map_err(|e| format!("{address}: {e}"))?;
    let address = listener.local_addr()?;
    println!("listening; try, with a file for the cookie:");
    println!("  curl -i -c jar -d user=ada http://{address}/login");
    println!("  curl -i -b jar http://{address}/");
    println!("  curl -i -b jar -X POST http://{address}/logout");
    axum::serve(listener, service(client.clone()))
        .with_graceful_shutdown(async {
            // Without this signal there is nothing to wait for.
            let _ = tokio::signal::ctrl_c().await;
        })
        .await?;

    client.close().await;
    if let Some(server) = embedded {
        server.close().await?;
    }
    Ok(())
}
