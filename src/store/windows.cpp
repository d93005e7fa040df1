#include "store/windows.h"

#include <deque>

#include "base/check.h"

namespace kybern::store {

std::string_view resource_of(std::string_view key) {
  if (key.starts_with('/')) key.remove_prefix(1);
  return key.substr(0, key.find('/'));
}

// Watches with the same prefix.
struct Windows::Group {
  Window& window;
  const std::string prefix;
  const bool whole_resource;  // the prefix is "/resource/": every change of the window is under it
  std::size_t members = 0;
  std::vector<Cursor*> armed;
};

struct Windows::Item {
  ChangePtr change;
  std::uint32_t second;  // since the windows were made
  std::uint32_t bytes;   // that only the window keeps: the value before, and the change
};

struct Windows::Window {
  Window(Windows& owner, Revision floor) : all(owner), dropped(floor) {}
  Windows& all;
  mutable std::mutex mutex;
  std::deque<Item> items;
  std::size_t bytes = 0;
  Revision dropped;  // everything after it is held
  std::atomic<Revision> newest{0};
  // Groups of watches by the length of their prefix, then by prefix.
  std::vector<std::pair<std::size_t, std::unordered_map<std::string_view, std::unique_ptr<Group>>>> groups;
};

class Windows::Cursor final : public Watch, public Notifier::Client {
 public:
  Cursor(Group& group, Revision after, std::function<void()> on_change) : group_(group), cursor_(after), calls_(on_change != nullptr) {
    notify = std::move(on_change);
  }
  ~Cursor() override;
  Result<void> take(std::vector<ChangePtr>& out, std::size_t max) override;
  Revision position() const override;

 private:
  friend class Windows;
  static constexpr std::uint32_t behind = 0xffffffff;
  static constexpr std::uint32_t ended = 0xfffffffe;
  void arm();  // these two under the window's mutex
  void disarm();

  Group& group_;
  Revision cursor_;                  // every change under the prefix up to here has been taken
  std::uint32_t armed_at_ = behind;  // index in group_.armed, or one of the two above
  const bool calls_;                 // a callback was given
};

void Windows::Cursor::arm() {
  armed_at_ = static_cast<std::uint32_t>(group_.armed.size());
  group_.armed.push_back(this);
  // A callback that waits in the queue would tell of changes that have just been taken.
  if (queued.load(std::memory_order_relaxed)) group_.window.all.notifier_.cancel(*this);
}

void Windows::Cursor::disarm() {
  if (armed_at_ >= ended) return;
  Cursor* last = group_.armed.back();
  group_.armed[armed_at_] = last;
  last->armed_at_ = armed_at_;
  group_.armed.pop_back();
  armed_at_ = behind;
}

Windows::Cursor::~Cursor() {
  Windows& all = group_.window.all;
  Window& w = group_.window;
  {
    std::lock_guard lock(w.mutex);
    disarm();
    armed_at_ = ended;  // a callback that runs may still call take(): it does not arm again
  }
  all.notifier_.retire(*this);
  {
    std::lock_guard lock(w.mutex);
    if (--group_.members == 0) {
      auto at = std::lower_bound(w.groups.begin(), w.groups.end(), group_.prefix.size(),
                                 [](const auto& g, std::size_t n) { return g.first < n; });
      at->second.erase(at->second.find(std::string_view(group_.prefix)));
      if (at->second.empty()) w.groups.erase(at);
    }
  }
  all.release();
}

Result<void> Windows::Cursor::take(std::vector<ChangePtr>& out, std::size_t max) {
  // So many changes are looked at before the window is free for others for a moment.
  constexpr std::size_t stretch = 2048;
  Window& w = group_.window;
  std::size_t taken = 0;
  for (;;) {
    std::lock_guard lock(w.mutex);
    if (armed_at_ == ended) return fail(Code::canceled, "the watch has ended");
    if (armed_at_ != behind) return {};
    if (cursor_ < w.dropped) return fail(Code::expired, "the changes after revision " + std::to_string(cursor_) + " are not held any more");
    std::size_t at = first_after(w, cursor_);
    std::size_t stop = std::min(w.items.size(), at + stretch);
    for (; at < stop; ++at) {
      const ChangePtr& change = w.items[at].change;
      if (group_.whole_resource || change->key().starts_with(group_.prefix)) {
        if (taken == max) return {};
        out.push_back(change);
        ++taken;
      }
      cursor_ = change->revision;
    }
    if (at == w.items.size()) {
      arm();
      return {};
    }
  }
}

Revision Windows::Cursor::position() const {
  // Read first: if the watch is armed after that, no change under the prefix up to here was left.
  Revision settled = group_.window.all.settled_.load(std::memory_order_acquire);
  std::lock_guard lock(group_.window.mutex);
  return armed_at_ >= ended ? cursor_ : std::max(cursor_, settled);
}

// ---------------------------------------------------------------------------------------------------------------------

Windows* Windows::create(WindowLimits limits, Revision floor, const World* world) { return new Windows(limits, floor, world); }

Windows::Windows(WindowLimits limits, Revision floor, const World* world)
    : limits_(limits),
      floor_(floor),
      world_(world),
      start_(world ? world->clock.steady() : Instant(std::chrono::steady_clock::now())),
      settled_(floor) {}

Windows::~Windows() = default;

void Windows::release() {
  if (holders_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
}

void Windows::close() {
  notifier_.stop();
  release();
}

std::uint32_t Windows::second_of(Instant now) const {
  auto seconds = std::chrono::duration_cast<std::chrono::seconds>(now - start_).count();
  return static_cast<std::uint32_t>(std::max<std::int64_t>(seconds, 0));
}

Windows::Window& Windows::window(std::string_view resource) {
  std::string name(resource);
  {
    std::shared_lock lock(map_mutex_);
    if (auto it = windows_.find(name); it != windows_.end()) return *it->second;
  }
  std::lock_guard lock(map_mutex_);
  auto& slot = windows_[name];
  if (!slot) slot = std::make_unique<Window>(*this, floor_);
  return *slot;
}

const Windows::Window* Windows::find(std::string_view resource) const {
  std::shared_lock lock(map_mutex_);
  auto it = windows_.find(std::string(resource));
  return it == windows_.end() ? nullptr : it->second.get();
}

std::vector<Windows::Window*> Windows::all_windows() const {
  std::shared_lock lock(map_mutex_);
  std::vector<Window*> all;
  all.reserve(windows_.size());
  for (const auto& [name, window] : windows_) all.push_back(window.get());
  return all;
}

std::size_t Windows::first_after(const Window& w, Revision revision) {
  // Most ask for what is newest: from the end, in steps that double.
  std::size_t high = w.items.size(), step = 1;
  for (; step <= high && w.items[high - step].change->revision > revision; step *= 2) high -= step;
  const auto begin = w.items.begin(), from = begin + static_cast<std::ptrdiff_t>(step <= high ? high - step + 1 : 0);
  auto at = std::upper_bound(from, begin + static_cast<std::ptrdiff_t>(high), revision,
                             [](Revision r, const Item& item) { return r < item.change->revision; });
  return static_cast<std::size_t>(at - begin);
}

void Windows::drop_first(Window& w, std::size_t n, std::vector<ChangePtr>& garbage) {
  for (; n > 0 && !w.items.empty(); --n) {
    Item& first = w.items.front();
    w.dropped = first.change->revision;
    w.bytes -= first.bytes;
    bytes_.fetch_sub(first.bytes, std::memory_order_relaxed);
    garbage.push_back(std::move(first.change));
    w.items.pop_front();
  }
}

void Windows::drop_old(Window& w, std::uint32_t second, std::vector<ChangePtr>& garbage) {
  if (w.items.size() > limits_.max_changes) drop_first(w, w.items.size() - limits_.max_changes, garbage);
  auto max_age = static_cast<std::uint32_t>(limits_.max_age.count());
  while (w.items.size() > limits_.min_changes && w.items.front().second + max_age < second) drop_first(w, 1, garbage);
}

void Windows::wake(Window& w, const Change& change) {
  const std::string& key = change.key();
  for (auto& [length, by_prefix] : w.groups) {
    if (length > key.size()) return;
    auto it = by_prefix.find(std::string_view(key).substr(0, length));
    if (it == by_prefix.end()) continue;
    std::vector<Cursor*>& armed = it->second->armed;
    std::size_t kept = 0;
    for (Cursor* cursor : armed) {
      if (change.revision <= cursor->cursor_) {  // it asked for changes after a later revision
        cursor->armed_at_ = static_cast<std::uint32_t>(kept);
        armed[kept++] = cursor;
        continue;
      }
      cursor->armed_at_ = Cursor::behind;
      cursor->cursor_ = change.revision - 1;
      if (cursor->calls_) notifier_.enqueue(*cursor);
    }
    armed.resize(kept);
  }
}

void Windows::append(const std::vector<ChangePtr>& changes, Instant now) {
  const std::uint32_t second = second_of(now);
  std::vector<ChangePtr> garbage;
  for (std::size_t i = 0; i < changes.size();) {
    const std::string_view resource = resource_of(changes[i]->key());
    Window& w = window(resource);
    std::lock_guard lock(w.mutex);
    for (; i < changes.size() && resource_of(changes[i]->key()) == resource; ++i) {
      const Change& change = *changes[i];
      std::size_t bytes = sizeof(Item) + sizeof(Change);
      if (change.before) bytes += change.before->value.memory() + sizeof(Entry) + change.before->key.size();
      w.items.push_back({changes[i], second, static_cast<std::uint32_t>(bytes)});
      w.bytes += bytes;
      bytes_.fetch_add(bytes, std::memory_order_relaxed);
      w.newest.store(change.revision, std::memory_order_release);
      wake(w, change);
    }
    drop_old(w, second, garbage);
  }
}

void Windows::trim(Instant now, std::size_t live_bytes) {
  std::vector<ChangePtr> garbage;
  const std::uint32_t second = second_of(now);
  std::vector<Window*> all = all_windows();
  for (Window* w : all) {
    std::lock_guard lock(w->mutex);
    drop_old(*w, second, garbage);
  }
  while (bytes_.load(std::memory_order_relaxed) > budget(live_bytes)) {
    Window* largest = nullptr;
    std::size_t most = 0;
    for (Window* w : all) {
      std::lock_guard lock(w->mutex);
      if (w->bytes > most) most = w->bytes, largest = w;
    }
    if (!largest) break;
    std::lock_guard lock(largest->mutex);
    // A part at a time; another window may be the largest then.
    std::size_t target = most - std::min(most, std::max<std::size_t>(most / 16, 1));
    while (largest->bytes > target && !largest->items.empty()) drop_first(*largest, 1, garbage);
  }
}

bool Windows::ageing() const {
  for (Window* w : all_windows()) {
    std::lock_guard lock(w->mutex);
    if (w->items.size() > limits_.min_changes) return true;
  }
  return false;
}

Result<std::unique_ptr<Watch>> Windows::watch(std::string_view prefix, Revision after, std::function<void()> notify) {
  const std::string_view resource = resource_of(prefix);
  const std::size_t whole = resource.size() + 2;  // "/pods/"
  if (!prefix.starts_with('/') || resource.empty() || prefix.size() < whole)
    return fail(Code::invalid,
                "a watch's prefix begins with a whole resource, as /pods/ does; this one is \"" + std::string(prefix) + "\"");
  if (notify) notifier_.start(world_ ? &world_->executor : nullptr);
  Window& w = window(resource);
  std::lock_guard lock(w.mutex);
  if (after < w.dropped) return fail(Code::expired, "the changes after revision " + std::to_string(after) + " are not held any more");
  auto at = std::lower_bound(w.groups.begin(), w.groups.end(), prefix.size(), [](const auto& g, std::size_t n) { return g.first < n; });
  if (at == w.groups.end() || at->first != prefix.size()) at = w.groups.emplace(at, prefix.size(), decltype(at->second)());
  auto it = at->second.find(prefix);
  if (it == at->second.end()) {
    std::unique_ptr<Group> group(new Group{w, std::string(prefix), prefix.size() == whole, 0, {}});
    std::string_view name = group->prefix;
    it = at->second.emplace(name, std::move(group)).first;
  }
  ++it->second->members;
  holders_.fetch_add(1, std::memory_order_relaxed);
  return std::make_unique<Cursor>(*it->second, after, std::move(notify));
}

Revision Windows::oldest(std::string_view prefix) const {
  const Window* w = find(resource_of(prefix));
  if (!w) return floor_;
  std::lock_guard lock(w->mutex);
  return w->dropped;
}

Revision Windows::newest(std::string_view prefix) const {
  const Window* w = find(resource_of(prefix));
  return w ? std::max(floor_, w->newest.load(std::memory_order_acquire)) : floor_;
}

bool Windows::collect(std::string_view resource, Revision after, Revision last, std::vector<ChangePtr>& out) const {
  if (after < floor_) return false;
  std::vector<const Window*> chosen;
  if (resource.empty()) {
    for (Window* w : all_windows()) chosen.push_back(w);
  } else if (const Window* w = find(resource)) {
    chosen.push_back(w);
  }
  for (const Window* w : chosen) {
    std::lock_guard lock(w->mutex);
    if (after < w->dropped) return false;
    for (std::size_t at = first_after(*w, after); at < w->items.size() && w->items[at].change->revision <= last; ++at)
      out.push_back(w->items[at].change);
  }
  return true;
}

std::size_t Windows::change_count() const {
  std::size_t total = 0;
  for (Window* w : all_windows()) {
    std::lock_guard lock(w->mutex);
    total += w->items.size();
  }
  return total;
}

}  // namespace kybern::store
