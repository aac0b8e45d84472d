//! The small web service that the demo deploys: `/` tells its version, `/health` whether it works.

use std::io::Write;

use actix_web::{App, HttpResponse, HttpServer, web};

use crate::{args::SampleServiceArgs, client::Failure, exit::Exit, output::Out};

/// What both pages say.
struct Pages {
    version: String,
    /// Why the service cannot work.
    broken: Option<&'static str>,
}

/// Serves on `127.0.0.1:$PORT` until SIGTERM, and ends running requests first.
pub(crate) async fn run(args: &SampleServiceArgs, out: &Out) -> Result<Exit, Failure> {
    let port = std::env::var("PORT")
        .ok()
        .and_then(|p| p.parse::<u16>().ok())
        .ok_or_else(|| {
            Failure::input(
                "PORT is not set to a port",
                "set it: PORT=8080 gennaker sample-service",
            )
        })?;
    if let Some(file) = &args.starts_file {
        let written = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(file);
        written
            .and_then(|mut f| writeln!(f, "{} {}", args.version_name, std::process::id()))
            .map_err(|e| {
                Failure::input(
                    format!("{file} cannot be written: {e}"),
                    "choose another file",
                )
            })?;
    }
    let broken = (args.broken == "true" && args.prices.is_none())
        .then_some("the price list cannot be read: --prices is not given");
    out.line(&format!(
        "sample service version {} starts on port {port}",
        args.version_name
    ));
    if let Some(reason) = broken {
        out.line(&format!("error: {reason}"));
    }
    let pages = web::Data::new(Pages {
        version: args.version_name.clone(),
        broken,
    });
    let server = HttpServer::new(move || {
        App::new()
            .app_data(pages.clone())
            .route("/", web::get().to(index))
            .route("/health", web::get().to(health))
    });
    let server = server
        .workers(1)
        .shutdown_timeout(5)
        .bind(("127.0.0.1", port))
        .map_err(|e| Failure::InUse {
            detail: format!("port {port} of 127.0.0.1 cannot be listened on: {e}"),
            next: "set PORT to a free one".to_owned(),
        })?;
    server.run().await.map_err(|e| Failure::Internal {
        detail: "the sample service stopped".to_owned(),
        cause: e.to_string(),
    })?;
    out.line("sample service stops");
    Ok(Exit::Success)
}

async fn index(pages: web::Data<Pages>) -> HttpResponse {
    let text = format!("version {} of the sample service\n", pages.version);
    HttpResponse::Ok().content_type("text/plain").body(text)
}

async fn health(pages: web::Data<Pages>) -> HttpResponse {
    match pages.broken {
        None => HttpResponse::Ok().body("UP\n"),
        Some(reason) => HttpResponse::ServiceUnavailable().body(format!("{reason}\n")),
    }
}
