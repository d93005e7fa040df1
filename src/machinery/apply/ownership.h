// What tracking and applying share. Not for other rooms.
#pragma once

#include <deque>
#include <utility>

#include "machinery/apply/apply.h"

namespace kybern::apply {

const FieldSet& stripped_fields();  // never owned: apiVersion, kind, and of the metadata what the server sets
Manager self_of(const Write& write, bool applies, std::string_view name);

// One write, compared in every version that somebody owns fields in.
class Changes {
 public:
  Changes(const Write& write, Value before, Value after, FieldTexts& texts)
      : write_(write), before_(before), after_(after), texts_(texts) {}
  // Null for a version that is not there any more, or when status() has failed.
  Comparison* in(std::string_view api_version);
  const Result<void>& status() const { return status_; }

 private:
  const Write& write_;
  Value before_, after_;
  FieldTexts& texts_;
  Result<void> status_;
  std::deque<std::pair<std::string, Comparison>> seen_;
};

// An object that was there before anybody tracked it is given to one manager.
Result<void> own_everything(const Write& write, Value object, Managed& managed, std::string_view manager);

}  // namespace kybern::apply
