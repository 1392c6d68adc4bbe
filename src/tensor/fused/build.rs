//! Compiles `kernels.cu` to PTX where the program is built with CUDA, with the compiler that candle's kernels are built with.

#![allow(clippy::expect_used)]

fn main() {
    println!("cargo::rerun-if-changed=src/tensor/fused/build.rs");
    #[cfg(feature = "cuda")]
    {
        println!("cargo::rerun-if-changed=src/tensor/fused/kernels.cu");
        let folder = std::env::var("OUT_DIR").expect("cargo names the folder");
        cudaforge::KernelBuilder::new()
            .source_files(["src/tensor/fused/kernels.cu"])
            .arg("-O3")
            .build_ptx()
            .and_then(|found| found.write(std::path::Path::new(&folder).join("kernels.rs")))
            .expect("nvcc compiles the kernels");
    }
}
