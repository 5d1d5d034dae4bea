//! Looks for an NVIDIA driver, a device, NVRTC and the CUDA headers before cubecl is asked for a client:
//! its client panics when one is missing.

use cubecl::cuda::{CudaDevice, CudaRuntime, install};
use cudarc::driver::result as driver;

use crate::KernelError;
use crate::gpu::Gpu;

const DRIVER: &str = "install the NVIDIA driver, or choose --device cpu";
const TOOLKIT: &str =
    "install the CUDA toolkit (NVRTC and the headers) and set CUDA_PATH to its folder, or choose --device cpu";

pub(super) fn open() -> Result<Gpu<CudaRuntime>, KernelError> {
    let name = look()?;
    Gpu::open(&CudaDevice::new(0), "cuda", name, false)
}

/// The first device's name.
fn look() -> Result<String, KernelError> {
    let missing = |reason: &str, remedy| KernelError::Missing { device: "cuda", reason: reason.to_owned(), remedy };
    // SAFETY: both only try to load a shared library by its usual names, which runs its initialisers.
    let (has_driver, has_nvrtc) =
        unsafe { (cudarc::driver::sys::is_culib_present(), cudarc::nvrtc::sys::is_culib_present()) };
    if !has_driver {
        return Err(missing("the NVIDIA driver's libcuda.so is not there", DRIVER));
    }
    let count = driver::init().and_then(|()| driver::device::get_count());
    let count = count.map_err(|error| missing(&format!("the NVIDIA driver does not start ({error:?})"), DRIVER))?;
    if count < 1 {
        return Err(missing("the NVIDIA driver sees no device", DRIVER));
    }
    if !has_nvrtc {
        return Err(missing("CUDA's compiler libnvrtc.so is not there", TOOLKIT));
    }
    let headers = install::cuda_path().map(|path| path.join("include/cuda_runtime.h"));
    if !headers.as_ref().is_some_and(|header| header.is_file()) {
        let reason = match headers {
            Some(header) => format!("{} is not there", header.display()),
            None => "no CUDA folder is known".to_owned(),
        };
        return Err(missing(&reason, TOOLKIT));
    }
    let name = driver::device::get(0).and_then(driver::device::get_name);
    name.map_err(|error| missing(&format!("the first device has no name ({error:?})"), DRIVER))
}
