//! Device choice: one handle for the whole program, since two CUDA handles give tensors that do not mix.

use candle_core::Device;

use crate::named::named;

named! {
    /// What the person asked for.
    DeviceChoice { Auto = "auto", Cpu = "cpu", Cuda = "cuda" }
}

/// The device in use and why.
#[derive(Clone)]
pub struct Chosen {
    pub device: Device,
    /// `cpu` or `cuda`, for the screen.
    pub name: &'static str,
    /// What was tried without success, in words.
    pub tried: Option<String>,
}

/// The demanded device does not work here.
#[derive(Debug, thiserror::Error)]
#[error("device cuda is not available: {reason}")]
pub struct Unavailable {
    pub reason: String,
}

/// Opens the device. `Auto` takes CUDA when it works and says what was tried otherwise; `Cuda` fails instead.
pub fn choose(choice: DeviceChoice) -> Result<Chosen, Unavailable> {
    let cpu = |tried| Chosen { device: Device::Cpu, name: "cpu", tried };
    if choice == DeviceChoice::Cpu {
        return Ok(cpu(None));
    }
    match (open_cuda(), choice) {
        (Ok(device), _) => Ok(Chosen { device, name: "cuda", tried: None }),
        (Err(reason), DeviceChoice::Auto) => Ok(cpu(Some(reason))),
        (Err(reason), _) => Err(Unavailable { reason }),
    }
}

#[cfg(feature = "cuda")]
fn open_cuda() -> Result<Device, String> {
    // The loader panics, rather than fails, where the driver's library is missing.
    match std::panic::catch_unwind(|| Device::new_cuda(0)) {
        Ok(Ok(device)) => Ok(device),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("the CUDA driver could not be loaded".to_owned()),
    }
}

#[cfg(not(feature = "cuda"))]
fn open_cuda() -> Result<Device, String> {
    Err("this binary was built without the cuda feature".to_owned())
}
