#![no_main]
//! Fuzzes `list_xml`: see the function that it calls.

libfuzzer_sys::fuzz_target!(|data: &[u8]| cloudmount_store::fuzzing::list_xml(data));
