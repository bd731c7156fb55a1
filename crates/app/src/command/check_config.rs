use std::path::Path;

use doorward::settings::load_serve;

pub(super) fn run(file: Option<&Path>) -> anyhow::Result<()> {
    load_serve(file, super::environment()?)?;
    super::say("the configuration is valid");
    Ok(())
}
