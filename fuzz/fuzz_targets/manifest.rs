#![no_main]
//! Fuzzes `manifest`: see the function that it calls.

libfuzzer_sys::fuzz_target!(|data: &[u8]| cloudmount_core::fuzzing::manifest(data));
