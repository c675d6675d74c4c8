;; Limits how many connections one address may have open. A network filter of Envoy in WebAssembly (proxy-wasm ABI 0.2.1), because
;; Envoy itself counts connections only in total. It runs when a connection begins and ends, never for data.
;;
;; Every worker thread of Envoy has an instance of this module. They count in Envoy's shared memory, in one of 65,536 slots chosen by a
;; hash of the address, so that the memory is bounded whatever addresses connect. For IPv6 the /64 network counts, because its owner can
;; use every address in it: `2001:db8:1:2:3::4` and `2001:db8:1:2::5` are one.
(module
  (import "env" "proxy_get_property" (func $get_property (param i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_get_buffer_bytes" (func $get_buffer (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_get_shared_data" (func $get_shared (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_set_shared_data" (func $set_shared (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_define_metric" (func $define_metric (param i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_increment_metric" (func $increment_metric (param i32 i64) (result i32)))
  (import "env" "proxy_close_stream" (func $close_stream (param i32) (result i32)))

  (memory (export "memory") 1)
  ;; 0: results of host calls (a pointer, a size, a version). 16: the slot, 2 bytes. 20: a count. 24: the metric's id.
  (data (i32.const 32) "source\00address") ;; 14 bytes
  (data (i32.const 64) "rate_limit_refused_total.limit.connections_of_address.caller.address") ;; 68 bytes
  (global $limit (mut i32) (i32.const 0))
  (global $free (mut i32) (i32.const 4096)) ;; the host puts what it returns here; each callback starts over

  (func (export "proxy_abi_version_0_2_1"))
  (func (export "proxy_on_context_create") (param i32 i32))
  (func (export "malloc") (param $size i32) (result i32)
    (global.get $free)
    (global.set $free (i32.add (global.get $free) (i32.and (i32.add (local.get $size) (i32.const 7)) (i32.const -8)))))

  ;; The configuration is the limit, in decimal digits.
  (func (export "proxy_on_configure") (param $context i32) (param $size i32) (result i32)
    (local $at i32) (local $end i32)
    (global.set $free (i32.const 4096))
    (if (call $get_buffer (i32.const 7) (i32.const 0) (local.get $size) (i32.const 0) (i32.const 4)) (then (return (i32.const 0))))
    (local.set $at (i32.load (i32.const 0)))
    (local.set $end (i32.add (local.get $at) (i32.load (i32.const 4))))
    (global.set $limit (i32.const 0))
    (block $done
      (loop $digit
        (br_if $done (i32.ge_u (local.get $at) (local.get $end)))
        (global.set $limit
          (i32.add (i32.mul (global.get $limit) (i32.const 10)) (i32.sub (i32.load8_u (local.get $at)) (i32.const 48))))
        (local.set $at (i32.add (local.get $at) (i32.const 1)))
        (br $digit)))
    (i32.eqz (call $define_metric (i32.const 0) (i32.const 64) (i32.const 68) (i32.const 24))))

  (func (export "proxy_on_new_connection") (param $context i32) (result i32)
    (if (i32.le_u (call $add (i32.const 1)) (global.get $limit)) (then (return (i32.const 0))))
    (drop (call $increment_metric (i32.load (i32.const 24)) (i64.const 1)))
    (drop (call $close_stream (i32.const 2))) ;; the downstream connection; its end is counted like any other
    (i32.const 1))

  (func (export "proxy_on_downstream_connection_close") (param $context i32) (param $by i32)
    (drop (call $add (i32.const -1))))

  ;; Adds to the count of the connection's address; returns the new count.
  (func $add (param $delta i32) (result i32)
    (local $count i32)
    (if (i32.eqz (call $choose_slot)) (then (return (i32.const 0)))) ;; without an address, as on a Unix socket
    (loop $again
      (i32.store (i32.const 8) (i32.const 0))
      (local.set $count
        (if (result i32) (call $get_shared (i32.const 16) (i32.const 2) (i32.const 0) (i32.const 4) (i32.const 8))
          (then (i32.const 0)) ;; never used before
          (else (i32.load (i32.load (i32.const 0))))))
      (local.set $count (i32.add (local.get $count) (local.get $delta)))
      (if (i32.lt_s (local.get $count) (i32.const 0)) (then (local.set $count (i32.const 0))))
      (i32.store (i32.const 20) (local.get $count))
      ;; Refused if another thread has changed the count since.
      (global.set $free (i32.const 4096))
      (br_if $again (call $set_shared (i32.const 16) (i32.const 2) (i32.const 20) (i32.const 4) (i32.load (i32.const 8)))))
    (local.get $count))

  ;; Stores the slot of the connection's address, given as `192.0.2.1:4567` or `[2001:db8::1]:4567`; returns whether there is one.
  (func $choose_slot (result i32)
    (local $at i32) (local $end i32) (local $char i32) (local $hash i32) (local $colons i32) (local $last_colon i32)
    (global.set $free (i32.const 4096))
    (if (call $get_property (i32.const 32) (i32.const 14) (i32.const 0) (i32.const 4)) (then (return (i32.const 0))))
    (local.set $at (i32.load (i32.const 0)))
    (local.set $end (i32.add (local.get $at) (i32.load (i32.const 4))))
    (if (i32.ge_u (local.get $at) (local.get $end)) (then (return (i32.const 0))))
    (local.set $last_colon (i32.const 1)) ;; IPv4: the first colon ends the address
    (if (i32.eq (i32.load8_u (local.get $at)) (i32.const 91)) ;; [
      (then
        (local.set $at (i32.add (local.get $at) (i32.const 1)))
        (local.set $last_colon (i32.const 4))))
    (local.set $hash (i32.const 0x811c9dc5)) ;; FNV-1a
    (block $done
      (loop $byte
        (br_if $done (i32.ge_u (local.get $at) (local.get $end)))
        (local.set $char (i32.load8_u (local.get $at)))
        (br_if $done (i32.eq (local.get $char) (i32.const 93))) ;; ]
        (if (i32.eq (local.get $char) (i32.const 58)) ;; :
          (then
            (local.set $colons (i32.add (local.get $colons) (i32.const 1)))
            (br_if $done (i32.eq (local.get $colons) (local.get $last_colon)))
            (br_if $done (i32.eq (i32.load8_u offset=1 (local.get $at)) (i32.const 58))))) ;; `::` stands for zeros
        (local.set $hash (i32.mul (i32.xor (local.get $hash) (local.get $char)) (i32.const 0x01000193)))
        (local.set $at (i32.add (local.get $at) (i32.const 1)))
        (br $byte)))
    (i32.store16 (i32.const 16) (i32.xor (local.get $hash) (i32.shr_u (local.get $hash) (i32.const 16))))
    (i32.const 1)))
