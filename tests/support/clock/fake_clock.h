// Stands before lib/base/clock.c: the time of this process goes faster than the machine's, or only when a test
// says so, so that minutes of a call take milliseconds and no load of the machine makes a test late.
#pragma once

#include "lib/base/clock.h"

void clock_speed(int times); // as fast as the machine's clock; 0: stands still. 1 at the start
void clock_pass(ns_t);       // so much time passes at once
void clock_price(ns_t);      // what all work costs that is measured from now on; 0 at the start
ns_t clock_of_machine(void); // CLOCK_MONOTONIC: for what must not block
