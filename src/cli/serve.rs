//! `otpgate serve`: reads the configuration, then hands over to the server. Knows no socket.

use clap::Args;

use crate::cli::{CliError, DataArgs, Environment};
use crate::config::{Config, Flags, Sources};

/// The flags of `serve`. They win over the file and the environment.
#[derive(Debug, Args)]
pub struct ServeArgs {
    /// Where the API is served [default: 127.0.0.1:8080]
    #[arg(long, value_name = "IP:PORT")]
    pub listen: Option<String>,
    /// Where the console, the metrics and the sandbox's messages are served [default: 127.0.0.1:8081]
    #[arg(long, value_name = "IP:PORT")]
    pub admin_listen: Option<String>,
    /// Where the data are.
    #[command(flatten)]
    pub data: DataArgs,
}

impl ServeArgs {
    /// The effective configuration.
    ///
    /// # Errors
    /// [`CliError::Config`] with everything that is wrong.
    pub fn load(self, environment: Environment) -> Result<Config, CliError> {
        let DataArgs { config: file, data_dir, store } = self.data;
        let flags = Flags { listen: self.listen, admin_listen: self.admin_listen, data_dir, store };
        Ok(Config::load(Sources { file, environment, flags })?)
    }
}

/// Serves until it is told to stop.
///
/// # Errors
/// [`CliError`], one variant a cause.
pub fn run(args: ServeArgs, environment: Environment) -> Result<(), CliError> {
    let config = args.load(environment)?;
    start(&config)
}

fn start(config: &Config) -> Result<(), CliError> {
    // TO BE FILLED IN with the server.
    Err(CliError::DataDirectory { directory: config.data_dir.clone(), problem: "this build has no server".to_owned() })
}
