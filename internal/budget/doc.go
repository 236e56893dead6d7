// Package budget tells what of the machine this process may use: processors and memory. A container
// often has a share of both, which the machine's own numbers do not show. Whoever divides work by
// processors or by free memory asks here, so that all of nsbuild has one answer.
//
// Processors are those that the kernel lets the process run on (sched_setaffinity(2), cpuset) and
// as many as its control groups feed (cpu.max). Memory is MemAvailable of proc_meminfo(5), and what
// the limits of its control groups leave. The own group counts, and so does each one above it that
// can be seen; of cgroup v1, v2, and both mixed.
package budget
