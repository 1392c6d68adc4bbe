//! Device choice: one handle and one stream for the whole program, since two CUDA handles give tensors that do not mix;
//! which operators a device takes; its memory; its errors in words. Any thread may call in.

use std::cell::Cell;
use std::sync::OnceLock;

use candle_core::Device;

use crate::settings::choice;
use crate::support::units;

choice! {
    /// What the person asked for.
    pub enum DeviceChoice {
        /// CUDA where there is a GPU, else the CPU
        Auto = "auto",
        /// the CPU
        Cpu = "cpu",
        /// the first NVIDIA GPU
        Cuda = "cuda",
    }
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

/// Opens the device. `Auto` takes CUDA when it works and says what was tried otherwise; `Cuda` fails instead. Every call
/// gives the same handle.
pub fn choose(choice: DeviceChoice) -> Result<Chosen, Unavailable> {
    let cpu = |tried| Chosen { device: Device::Cpu, name: "cpu", tried };
    if choice == DeviceChoice::Cpu {
        return Ok(cpu(None));
    }
    static CUDA: OnceLock<Result<Device, String>> = OnceLock::new();
    match (CUDA.get_or_init(open_cuda).clone(), choice) {
        (Ok(device), _) => Ok(Chosen { device, name: "cuda", tried: None }),
        (Err(reason), DeviceChoice::Auto) => Ok(cpu(Some(reason))),
        (Err(reason), _) => Err(Unavailable { reason }),
    }
}

/// What a person reads where the binary cannot use a GPU at all.
pub const NOT_BUILT: &str = "this binary was built without the cuda feature";

#[cfg(feature = "cuda")]
fn open_cuda() -> Result<Device, String> {
    // The loader panics, rather than fails, where the driver's library is missing.
    let opened = std::panic::catch_unwind(|| {
        // A stream of its own, not candle's per-thread one: with that, trainer and explorer would queue work on two
        // streams without anything that orders a read after the other thread's write.
        let device = Device::new_cuda_with_stream(0)?;
        // A first piece of work: a GPU that opens but cannot run the kernels is found here, not in a run.
        let one = candle_core::Tensor::ones(8, candle_core::DType::F32, &device)?;
        if (one * 2.0)?.to_vec1::<f32>()?.iter().any(|x| *x != 2.0) {
            candle_core::bail!("a first calculation on the GPU came out wrong");
        }
        if !plain() {
            let tried = with_fused(|| super::fused::prove::prove(&device));
            let _ = PROVED.set(tried.map_err(|e| plain_reason(&e.to_string())));
            // A kernel that faulted leaves a device that computes nothing more.
            device.synchronize()?;
        }
        Ok(device)
    });
    match opened {
        Ok(Ok(device)) => Ok(device),
        Ok(Err(error)) => Err(plain_reason(&error.to_string())),
        Err(_) => Err("the CUDA libraries could not be loaded".to_owned()),
    }
}

#[cfg(not(feature = "cuda"))]
fn open_cuda() -> Result<Device, String> {
    Err(NOT_BUILT.to_owned())
}

/// A driver's error in words, one line, with the code in brackets.
pub fn plain_reason(error: &str) -> String {
    let first = error.lines().next().unwrap_or_default().trim();
    const KNOWN: [(&str, &str); 6] = [
        ("CUDA_ERROR_NO_DEVICE", "no CUDA driver, or no GPU that it can use"),
        ("CUDA_ERROR_STUB_LIBRARY", "no CUDA driver is installed, only its stub"),
        ("CUDA_ERROR_SYSTEM_DRIVER_MISMATCH", "the CUDA driver and the kernel module do not fit together"),
        ("CUDA_ERROR_NO_BINARY_FOR_GPU", "this binary has no code for this kind of GPU"),
        ("CUDA_ERROR_UNSUPPORTED_PTX_VERSION", "the CUDA driver is older than this binary needs"),
        ("CUBLAS_STATUS_NOT_INITIALIZED", "the library cuBLAS is missing or did not start"),
    ];
    match KNOWN.iter().find(|(code, _)| first.contains(code)) {
        Some((code, words)) => format!("{words} ({code})"),
        None => first.to_owned(),
    }
}

/// Forces the composed operators on every device: the plain twins of all kernels.
pub const KERNELS: &str = "MASKSCOPE_KERNELS";

thread_local! {
    /// What [`with_plain`] or [`with_fused`] asks for on this thread.
    static FORCED: Cell<Option<Way>> = const { Cell::new(None) };
}

/// How operators run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// This program's CPU kernels.
    Host,
    /// This program's GPU kernels; on a CPU, in tests, their plain twins.
    Fused,
    /// Composed of the library's own operators, which run on any device.
    Composed,
}

/// Whether this program's GPU kernels agreed with the composed operators when the device was opened; `None` where
/// there is no GPU.
pub fn proved() -> Option<&'static Result<(), String>> {
    PROVED.get()
}

static PROVED: OnceLock<Result<(), String>> = OnceLock::new();

/// How operators over tensors on `device` run.
pub fn way(device: &Device) -> Way {
    if plain() {
        return Way::Composed;
    }
    match FORCED.get() {
        Some(forced) => forced,
        None if device.is_cpu() => Way::Host,
        None if matches!(PROVED.get(), Some(Ok(()))) => Way::Fused,
        None => Way::Composed,
    }
}

fn plain_everywhere() -> bool {
    static WANTED: OnceLock<bool> = OnceLock::new();
    *WANTED.get_or_init(|| std::env::var(KERNELS).is_ok_and(|v| v == "plain"))
}

/// Whether the composed operators are forced, by the environment or around this call.
pub fn plain() -> bool {
    FORCED.get() == Some(Way::Composed) || plain_everywhere()
}

/// Whether tensors on `device` go through this program's CPU kernels.
pub fn on_host(device: &Device) -> bool {
    way(device) == Way::Host
}

/// Runs `f` with composed operators on this thread, as on a device without kernels: how tests on a CPU reach them.
pub fn with_plain<R>(f: impl FnOnce() -> R) -> R {
    forced(Way::Composed, f)
}

/// Runs `f` with a GPU's operators on this thread; on a CPU their kernels' plain twins.
pub fn with_fused<R>(f: impl FnOnce() -> R) -> R {
    forced(Way::Fused, f)
}

fn forced<R>(way: Way, f: impl FnOnce() -> R) -> R {
    struct Back(Option<Way>);
    impl Drop for Back {
        fn drop(&mut self) {
            FORCED.set(self.0);
        }
    }
    let _back = Back(FORCED.replace(Some(way)));
    f()
}

/// Leaves the processor to the threads of this program's own pool: those of the tensor library wait for a millisecond with all
/// their might after every addition, while ours need their cores. What the person has set stays.
///
/// # Safety
/// No other thread runs yet.
pub unsafe fn one_pool() {
    const THREADS: &str = "CANDLE_NUM_THREADS";
    if std::env::var_os(THREADS).is_none() {
        // SAFETY: the contract.
        unsafe { std::env::set_var(THREADS, "1") };
    }
}

/// Bytes of a GPU's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceMemory {
    pub free: u64,
    pub total: u64,
}

/// Memory of the device; `None` on the CPU and where the driver does not say.
pub fn memory(device: &Device) -> Option<DeviceMemory> {
    #[cfg(feature = "cuda")]
    if let Device::Cuda(cuda) = device {
        let stream = cuda.cuda_stream();
        let (free, total) = stream.context().mem_get_info().ok()?;
        return Some(DeviceMemory { free: free as u64, total: total as u64 });
    }
    let _ = device;
    None
}

/// What a GPU is: name, compute capability, newest CUDA version its driver serves.
#[derive(Clone, Debug, PartialEq)]
pub struct Gpu {
    pub name: String,
    pub capability: (i32, i32),
    /// As the driver's library says it: 13000 is 13.0.
    pub driver: i32,
    pub memory: Option<DeviceMemory>,
}

/// Describes the device; `None` on the CPU.
pub fn describe(device: &Device) -> Option<Gpu> {
    #[cfg(feature = "cuda")]
    if let Device::Cuda(cuda) = device {
        use candle_core::cuda_backend::cudarc::driver::sys;
        let stream = cuda.cuda_stream();
        let context = stream.context();
        let mut driver = 0;
        // SAFETY: the pointer is valid for the call.
        unsafe { sys::cuDriverGetVersion(&raw mut driver) };
        return Some(Gpu {
            name: context.name().unwrap_or_else(|_| "unknown GPU".to_owned()),
            capability: context.compute_capability().unwrap_or_default(),
            driver,
            memory: memory(device),
        });
    }
    let _ = device;
    None
}

/// Whether an error's text says that the GPU's memory is full.
pub fn is_out_of_memory(error: &str) -> bool {
    ["CUDA_ERROR_OUT_OF_MEMORY", "CUBLAS_STATUS_ALLOC_FAILED"].iter().any(|code| error.contains(code))
}

/// One sentence for a failed operator. Out of memory comes with the GPU's numbers as they are now.
pub fn sentence(error: &candle_core::Error) -> String {
    let text = error.to_string();
    if !is_out_of_memory(&text) {
        return format!("computation failed: {}", plain_reason(&text));
    }
    // Asked of the one handle there is: without it there was no such error.
    out_of_memory(choose(DeviceChoice::Auto).ok().and_then(|c| memory(&c.device)))
}

fn out_of_memory(now: Option<DeviceMemory>) -> String {
    match now {
        Some(m) => format!(
            "the GPU is out of memory: {} of {} are free",
            units::bytes(m.free),
            units::bytes(m.total)
        ),
        None => "the GPU is out of memory".to_owned(),
    }
}

/// What to do about a failed operator, where that is known.
pub fn hint(error: &candle_core::Error) -> Option<String> {
    let text = "use a smaller batch, a shorter context or text, or --device cpu";
    is_out_of_memory(&error.to_string()).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn out_of_memory_is_one_sentence_with_the_numbers() {
        let driver = r#"DriverError(CUDA_ERROR_OUT_OF_MEMORY, "out of memory")"#;
        let error = candle_core::Error::Cuda(driver.into());
        let said = sentence(&error);
        assert!(said.starts_with("the GPU is out of memory") && !said.contains('\n'), "{said}");
        assert!(hint(&error).is_some_and(|h| h.contains("smaller batch")));
        let now = DeviceMemory { free: 100_000_000, total: 80_000_000_000 };
        assert_eq!(out_of_memory(Some(now)), "the GPU is out of memory: 100.0 MB of 80.0 GB are free");
        let inside = candle_core::Error::Cuda(driver.into()).context("in block 3");
        assert!(sentence(&inside).starts_with("the GPU is out of memory"));
    }

    #[test]
    fn other_failures_keep_their_first_line() {
        let error = candle_core::Error::Msg("shapes differ\n   0: main\n   1: start".to_owned());
        assert_eq!(sentence(&error), "computation failed: shapes differ");
        assert_eq!(hint(&error), None);
        let none = "DriverError(CUDA_ERROR_NO_DEVICE, \"<Failure>\")\n 0: <unknown>";
        assert_eq!(plain_reason(none), "no CUDA driver, or no GPU that it can use (CUDA_ERROR_NO_DEVICE)");
    }

    #[test]
    fn demanding_a_gpu_that_is_not_there_fails_and_auto_says_why() {
        let auto = choose(DeviceChoice::Auto).unwrap();
        match choose(DeviceChoice::Cuda) {
            Err(e) => assert_eq!((auto.name, auto.tried), ("cpu", Some(e.reason))),
            Ok(chosen) => assert_eq!((auto.name, chosen.name), ("cuda", "cuda")),
        }
        assert_eq!(choose(DeviceChoice::Cpu).unwrap().tried, None);
    }

    #[test]
    fn composed_operators_can_be_forced_and_the_force_ends() {
        assert!(on_host(&Device::Cpu) || plain_everywhere());
        assert!(with_plain(|| !on_host(&Device::Cpu)));
        assert!(on_host(&Device::Cpu) || plain_everywhere());
    }
}
