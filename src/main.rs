//! Arguments -> the window or a subcommand -> the exit code.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};
use eframe::egui;
use florascope::app::App;
use florascope::cli::{self, Arguments, exit};
use florascope::library::DataFolder;
use florascope::settings::Settings;
use florascope::ui::describe::Describe;
use florascope::ui::frame_log::FrameLog;
use florascope::{crash, logging, patience};

fn main() -> ExitCode {
    // SAFETY: nothing has started a thread yet.
    #[cfg(target_os = "linux")]
    let decoders = unsafe { florascope::decode::process::start() };
    let arguments = Arguments::parse();
    // Whoever needs the folder says why it cannot be used.
    let logs = DataFolder::open(arguments.common.data_dir.clone()).ok().map(|data| data.logs());
    logging::start(logs.as_deref());
    #[cfg(target_os = "linux")]
    if let Err(error) = decoders {
        log::warn!("photos are decoded in the program's own process: {error}");
    }
    logs.into_iter().for_each(crash::report_to);
    arguments.patience.into_iter().for_each(|seconds| patience::set(Duration::from_secs(seconds)));
    let result = match &arguments.command {
        // clap could forbid this by itself, but then also options before the subcommand.
        Some(_) if arguments.path.is_some() => {
            let message = "a folder or photo for the window cannot be given together with a subcommand";
            Arguments::command().error(ErrorKind::ArgumentConflict, message).exit()
        }
        Some(command) => cli::run(command, &arguments.common),
        None => open_window(arguments).map(|()| exit::DONE),
    };
    match result {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            cli::print_error(&format!("{error:#}"));
            ExitCode::from(exit::FAILED)
        }
    }
}

fn open_window(arguments: Arguments) -> anyhow::Result<()> {
    let Arguments { path, common, describe_window, frame_log, long_after, .. } = arguments;
    let data = DataFolder::open(common.data_dir).context("The program's data folder cannot be used")?;
    let (settings, problem) = match Settings::load(&data.settings_file()) {
        Ok(settings) => (settings, None),
        Err(error) => (Settings::default(), Some(error)),
    };
    settings.language.apply();
    let crash = crash::take_news(&data.logs());
    let icon = eframe::icon_data::from_png_bytes(include_bytes!("../assets/icon.png"))?;
    let options = eframe::NativeOptions {
        viewport: egui::ViewportBuilder::default()
            .with_title("Florascope")
            .with_app_id("florascope")
            .with_icon(icon)
            .with_inner_size(settings.window)
            .with_min_inner_size([640.0, 420.0])
            .with_maximized(settings.maximized),
        ..Default::default()
    };
    eframe::run_native(
        "florascope",
        options,
        Box::new(move |creation| {
            if let Some(file) = describe_window {
                creation.egui_ctx.add_plugin(Describe::new(file));
            }
            let mut app = App::new(&creation.egui_ctx, data, settings, common.device, path)?;
            // SAFETY: eframe drops the app before its event loop, which owns the display.
            unsafe { app.listen(creation) };
            long_after.into_iter().for_each(|seconds| app.set_long(Duration::from_secs(seconds)));
            crash.iter().for_each(|report| app.show_crash(report));
            problem.iter().for_each(|error| app.show_error(error.to_string()));
            Ok(match frame_log {
                Some(file) => Box::new(FrameLog::new(app, &file)?),
                None => Box::new(app),
            })
        }),
    )
    .map_err(|error| anyhow::anyhow!("{error}"))
    .context("The window could not be opened; the subcommands work without one, see `florascope --help`")
}
