#include "base/folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>

namespace lastack {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;

class FolderTest : public testing::Test {
 protected:
  FolderTest() {
    std::string pattern = testing::TempDir() + "lastack-folder-XXXXXX";
    path_ = mkdtemp(pattern.data());
  }
  ~FolderTest() override { fs::remove_all(path_); }
  std::string path_;
};

TEST_F(FolderTest, WritesAFileWholeAndReadsItAgain) {
  auto folder = Folder::open(path_);
  ASSERT_TRUE(folder);
  ASSERT_FALSE(folder->write("a", "one"));
  ASSERT_FALSE(folder->write("a", "another"));
  EXPECT_EQ(*folder->read("a"), "another");
  EXPECT_THAT(*folder->names(), ElementsAre("a"));
  struct stat status {};
  ASSERT_EQ(stat((path_ + "/a").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777 & ~0644u, 0u);
}

TEST_F(FolderTest, FollowsNoLink) {
  const std::string precious = path_ + "-precious";
  std::ofstream(precious) << "mine";
  auto folder = Folder::open(path_);
  ASSERT_TRUE(folder);
  fs::create_symlink(precious, path_ + "/a");
  EXPECT_EQ(folder->read("a").error().error_number, ELOOP);
  // The name that a process of this number would use first, and the name itself.
  fs::create_symlink(precious, path_ + "/.a." + std::to_string(getpid()) + "-0.tmp");
  ASSERT_FALSE(folder->write("a", "ours"));
  EXPECT_EQ(*folder->read("a"), "ours");
  std::string kept;
  std::ifstream(precious) >> kept;
  EXPECT_EQ(kept, "mine");
  fs::remove(precious);

  fs::create_directory(path_ + "/real");
  fs::create_symlink(path_ + "/real", path_ + "/link");
  EXPECT_TRUE(folder->open_inside("real"));
  EXPECT_FALSE(folder->open_inside("link"));
  EXPECT_FALSE(folder->make_inside("link"));
  EXPECT_THAT(folder->read("real").error().message(), HasSubstr("no regular file"));
  ASSERT_EQ(mkfifo((path_ + "/pipe").c_str(), 0600), 0);
  EXPECT_THAT(folder->read("pipe").error().message(), HasSubstr("no regular file"));
}

TEST_F(FolderTest, IsReservedByOneOnly) {
  {
    const auto first = Folder::open(path_), second = Folder::open(path_);
    ASSERT_FALSE(first->reserve());
    const Status refused = second->reserve();
    ASSERT_TRUE(refused);
    EXPECT_THAT(refused->message(), HasSubstr("in use by another lastack"));
  }
  EXPECT_FALSE(Folder::open(path_)->reserve());
}

TEST_F(FolderTest, IsUndoneAsFarAsItWasMade) {
  auto folder = Folder::make(path_ + "/x/y/z");
  ASSERT_TRUE(folder);
  ASSERT_FALSE(folder->write("a", "one"));
  std::ofstream(path_ + "/x/mine") << "mine";
  folder->undo();
  EXPECT_FALSE(fs::exists(path_ + "/x/y"));
  EXPECT_TRUE(fs::exists(path_ + "/x/mine"));

  auto there = Folder::make(path_ + "/x");
  ASSERT_TRUE(there);
  ASSERT_FALSE(there->write("a", "one"));
  there->undo();
  EXPECT_THAT(*there->names(), ElementsAre("mine"));
}

TEST_F(FolderTest, SaysWhatKeepsItFromBeingMade) {
  std::ofstream(path_ + "/file") << "x";
  EXPECT_EQ(Folder::make(path_ + "/new/../file/x").error().error_number, ENOTDIR);
  EXPECT_FALSE(fs::exists(path_ + "/new")) << "half-made";
  EXPECT_EQ(Folder::make(path_ + "/file").error().error_number, ENOTDIR);
  EXPECT_EQ(Folder::make("").error().error_number, ENOENT);
}

TEST_F(FolderTest, ThatIsGoneIsAnError) {
  auto folder = Folder::open(path_);
  fs::remove_all(path_);
  const Status failed = folder->write("a", "one");
  ASSERT_TRUE(failed);
  EXPECT_EQ(failed->error_number, ENOENT);
  EXPECT_EQ(failed->where, path_ + "/a");
}

}  // namespace
}  // namespace lastack
