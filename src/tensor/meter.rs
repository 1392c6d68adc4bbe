//! What the GPU is doing: utilisation, memory, temperature, power, from the driver's management library (NVML), which
//! is loaded at run time. Any thread may ask; a question takes well under a millisecond.

use serde::{Deserialize, Serialize};

/// One look at the GPU.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct GpuFigures {
    /// Share of the last moments in which a kernel ran, percent.
    pub busy: u32,
    /// Bytes of its memory, of all programs together.
    pub used: u64,
    pub total: u64,
    /// Degrees Celsius.
    pub temperature: u32,
    /// Watts.
    pub watts: f64,
}

/// The way to the management library.
pub struct Meter {
    #[cfg(feature = "cuda")]
    library: nvml_wrapper::Nvml,
}

impl Meter {
    /// Loads the library.
    ///
    /// # Errors
    /// Why it cannot be used, in words.
    #[cfg(feature = "cuda")]
    pub fn open() -> Result<Self, String> {
        use nvml_wrapper::Nvml;
        // The versioned name is what a driver installs; the bare one comes with development files only.
        let named = std::ffi::OsStr::new("libnvidia-ml.so.1");
        let library = if cfg!(windows) { Nvml::init() } else { Nvml::builder().lib_path(named).init() };
        library.map(|library| Meter { library }).map_err(|e| super::device::plain_reason(&e.to_string()))
    }

    #[cfg(not(feature = "cuda"))]
    pub fn open() -> Result<Self, String> {
        Err(super::device::NOT_BUILT.to_owned())
    }

    /// Figures of the first GPU; `None` where one of them cannot be read.
    #[cfg(feature = "cuda")]
    pub fn figures(&self) -> Option<GpuFigures> {
        use nvml_wrapper::enum_wrappers::device::TemperatureSensor;
        let gpu = self.library.device_by_index(0).ok()?;
        let memory = gpu.memory_info().ok()?;
        Some(GpuFigures {
            busy: gpu.utilization_rates().ok()?.gpu,
            used: memory.used,
            total: memory.total,
            temperature: gpu.temperature(TemperatureSensor::Gpu).ok()?,
            watts: f64::from(gpu.power_usage().ok()?) / 1000.0,
        })
    }

    #[cfg(not(feature = "cuda"))]
    pub fn figures(&self) -> Option<GpuFigures> {
        None
    }

    /// Version of the driver, as its maker counts.
    #[cfg(feature = "cuda")]
    pub fn driver(&self) -> Option<String> {
        self.library.sys_driver_version().ok()
    }

    #[cfg(not(feature = "cuda"))]
    pub fn driver(&self) -> Option<String> {
        None
    }
}
